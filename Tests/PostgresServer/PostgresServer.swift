import ChildProcess
import Foundation
import Synchronization

/// A private PostgreSQL server on a Unix socket in a temporary directory, which ends with this process, however that ends.
///
/// The server's programs do not run as root: then they run as the user `postgres`.
public final class PostgresServer: Sendable {
    /// The directory of the socket.
    public let socket: String
    private let folder: URL
    private let programs: URL
    private let keeper: Keeper
    private let others = Mutex<[Keeper]>([])

    /// No server could be started.
    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    /// A server that all tests of one suite share, by the suite's name.
    ///
    /// Suites do not share one: a transaction that runs in one of them would hold the readers of all others back.
    public static func shared(_ name: String, settings: [String] = []) throws -> PostgresServer {
        servers.lock()
        defer { servers.unlock() }
        if let server = servers.byName[name] { return server }
        let server = try PostgresServer(settings: settings)
        servers.byName[name] = server
        return server
    }

    private static let servers = Servers()

    private final class Servers: @unchecked Sendable {
        private let mutex = NSLock()
        var byName: [String: PostgresServer] = [:]
        func lock() { mutex.lock() }
        func unlock() { mutex.unlock() }
    }

    /// Makes a cluster and starts its server.
    public init(settings: [String] = []) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "ego-pg-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let programs = try Self.findPrograms()
        if getuid() == 0 {
            guard let user = getpwnam("postgres") else { throw Failure(description: "there is no user postgres") }
            chown(folder.path, user.pointee.pw_uid, user.pointee.pw_gid)
        }
        self.folder = folder
        self.programs = programs
        self.socket = folder.path
        keeper = Keeper()
        try Self.run(
            programs.appending(path: "initdb").path,
            ["-D", data, "-U", "ego", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"])
        let defaults = [
            "unix_socket_directories = '\(folder.path)'", "listen_addresses = ''", "max_connections = 60",
            "shared_buffers = 64MB", "log_min_messages = fatal",
        ]
        let extra = defaults + settings
        try Self.asServerUser("cat >> '\(data)/postgresql.conf'", input: extra.joined(separator: "\n") + "\n")
        try start()
    }

    private var data: String { folder.appending(path: "data").path }

    /// Starts the server; it is stopped, and its files go, when this process is gone.
    public func start() throws {
        try keeper.start(
            Self.shell(Self.kept("'\(programs.path)/postgres' -D '\(data)' >'\(folder.path)/log' 2>&1", folder.path)))
        let deadline = Date().addingTimeInterval(30)
        while true {
            let status = try? Self.run(
                programs.appending(path: "pg_isready").path, ["-h", socket, "-U", "ego", "-d", "postgres", "-q"],
                check: false)
            if status == 0 { return }
            guard Date() < deadline else {
                let log = (try? String(contentsOfFile: folder.path + "/log", encoding: .utf8)) ?? ""
                throw Failure(description: "PostgreSQL does not start: \(log)")
            }
            Thread.sleep(forTimeInterval: 0.02)
        }
    }

    /// Runs another program beside the server, as the user that the server runs as; it too ends with this process.
    public func keep(_ command: String) throws {
        let keeper = Keeper()
        try keeper.start(Self.shell(Self.kept(command, folder.path, signal: "KILL")))
        others.withLock { $0.append(keeper) }
    }

    private static func kept(_ command: String, _ folder: String, signal: String = "QUIT") -> String {
        """
        \(command) &
        server=$!
        trap '' TERM INT HUP
        while read -r line; do
            [ "$line" = stop ] && break
        done
        kill -\(signal) $server 2>/dev/null
        wait $server 2>/dev/null
        [ "$line" = stop ] || rm -rf '\(folder)'
        """
    }

    /// Stops the server as a crash would: at once, without a checkpoint.
    public func kill() { keeper.stop() }

    /// A URL of a schema in the server's database.
    public func url(schema: String = "public", user: String = "ego", database: String = "postgres") -> String {
        let host = socket.replacingOccurrences(of: "/", with: "%2F")
        return "postgres://\(user)@\(host)/\(database)?options=-csearch_path%3D\(schema)"
    }

    /// Runs SQL in a schema through `psql`; returns what it printed, unaligned.
    @discardableResult
    public func sql(
        _ text: String, schema: String = "public", user: String = "ego", database: String = "postgres"
    ) throws -> String {
        let output = Pipe()
        let process = ChildProcess()
        process.executableURL = programs.appending(path: "psql")
        process.arguments = [
            "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", url(schema: schema, user: user, database: database),
        ]
        let input = Pipe()
        process.standardInput = input
        process.standardOutput = output
        let errors = Pipe()
        process.standardError = errors
        try process.run()
        DispatchQueue.global().async {
            try? input.fileHandleForWriting.write(contentsOf: Data(text.utf8))
            try? input.fileHandleForWriting.close()
        }
        let data = output.fileHandleForReading.readDataToEndOfFile()
        let message = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw Failure(description: "psql: \(String(decoding: message, as: UTF8.self))")
        }
        return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .newlines)
    }

    /// A new, empty schema; returns its name.
    public func makeSchema() throws -> String {
        let name = "t" + UUID().uuidString.replacingOccurrences(of: "-", with: "").lowercased()
        try sql("CREATE SCHEMA \(name)")
        return name
    }

    /// Lets a role in with its password only.
    public func require(password role: String) throws {
        try Self.asServerUser(
            "printf 'local all \(role) scram-sha-256\\n' | cat - '\(data)/pg_hba.conf' > '\(data)/new' && mv '\(data)/new' '\(data)/pg_hba.conf'"
        )
        try sql("SELECT pg_reload_conf()")
    }

    /// Runs a shell script as the user that the server runs as.
    public func run(_ script: String) throws { try Self.asServerUser(script) }

    // MARK: Processes

    private static func findPrograms() throws -> URL {
        let pipe = Pipe()
        let process = ChildProcess()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["pg_config", "--bindir"]
        process.standardOutput = pipe
        try process.run()
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        let folder = URL(fileURLWithPath: text.trimmingCharacters(in: .whitespacesAndNewlines))
        guard FileManager.default.isExecutableFile(atPath: folder.appending(path: "initdb").path) else {
            throw Failure(
                description: "the programs of a PostgreSQL server are not installed: apt-get install postgresql")
        }
        return folder
    }

    private static func shell(_ script: String) -> ChildProcess {
        let process = ChildProcess()
        if getuid() == 0 {
            process.executableURL = URL(fileURLWithPath: "/usr/bin/setpriv")
            process.arguments = ["--reuid=postgres", "--regid=postgres", "--clear-groups", "/bin/bash", "-c", script]
        } else {
            process.executableURL = URL(fileURLWithPath: "/bin/bash")
            process.arguments = ["-c", script]
        }
        process.currentDirectoryURL = URL(fileURLWithPath: "/")
        return process
    }

    private static func asServerUser(_ script: String, input: String = "") throws {
        let process = shell(script)
        let pipe = Pipe()
        let errors = Pipe()
        process.standardInput = pipe
        process.standardOutput = errors
        process.standardError = errors
        try process.run()
        try pipe.fileHandleForWriting.write(contentsOf: Data(input.utf8))
        try pipe.fileHandleForWriting.close()
        let message = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw Failure(description: String(decoding: message, as: UTF8.self))
        }
    }

    @discardableResult
    private static func run(_ program: String, _ arguments: [String], check: Bool = true) throws -> Int32 {
        if check {
            try asServerUser(([program] + arguments).map { "'\($0)'" }.joined(separator: " "))
            return 0
        }
        let process = ChildProcess()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = arguments
        try process.run()
        process.waitUntilExit()
        return process.terminationStatus
    }

    /// Holds the pipe whose end tells the shell around the server that this process is gone.
    private final class Keeper: @unchecked Sendable {
        private let mutex = NSLock()
        private var process: ChildProcess?
        private var pipe: Pipe?

        func start(_ process: ChildProcess) throws {
            mutex.lock()
            defer { mutex.unlock() }
            let pipe = Pipe()
            // Other children must not inherit it, or it would not end with this process.
            _ = fcntl(pipe.fileHandleForWriting.fileDescriptor, F_SETFD, FD_CLOEXEC)
            process.standardInput = pipe
            try process.run()
            (self.process, self.pipe) = (process, pipe)
        }

        func stop() {
            mutex.lock()
            defer { mutex.unlock() }
            try? pipe?.fileHandleForWriting.write(contentsOf: Data("stop\n".utf8))
            process?.waitUntilExit()
            (process, pipe) = (nil, nil)
        }
    }
}
