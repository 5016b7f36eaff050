import Foundation
import PostgresServer

/// PgBouncer in transaction mode before a server of its own.
final class Proxy: Sendable {
    private let server: PostgresServer
    private let folder: URL

    static func shared() throws -> Proxy {
        try instance.get()
    }

    private static let instance = Result { try Proxy() }

    private init() throws {
        server = try PostgresServer.shared("proxy", settings: ["max_connections = 300"])
        folder = URL(fileURLWithPath: server.socket).appending(path: "proxy")
        let settings = """
            [databases]
            * = host=\(server.socket) user=ego
            [pgbouncer]
            listen_addr =
            unix_socket_dir = \(folder.path)
            listen_port = 6432
            auth_type = any
            pool_mode = transaction
            default_pool_size = 3
            server_idle_timeout = 1
            logfile = \(folder.path)/log
            """
        try server.run(
            """
            mkdir -p '\(folder.path)'
            cat > '\(folder.path)/settings' <<'END'
            \(settings)
            END
            """)
        try server.keep("'\(Self.program)' -q '\(folder.path)/settings' </dev/null >/dev/null 2>&1")
        let deadline = Date().addingTimeInterval(10)
        while !FileManager.default.fileExists(atPath: folder.path + "/.s.PGSQL.6432"), Date() < deadline {
            Thread.sleep(forTimeInterval: 0.02)
        }
    }

    private static var program: String {
        ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].first { FileManager.default.isExecutableFile(atPath: $0) }
            ?? "pgbouncer"
    }

    func makeDatabase() throws -> String {
        let name = "p" + UUID().uuidString.replacingOccurrences(of: "-", with: "").lowercased()
        try server.sql("CREATE DATABASE \(name)")
        return name
    }

    func direct(_ database: String) -> String { server.url(database: database) }

    func url(_ database: String) -> String {
        "postgres://ego@\(folder.path.replacingOccurrences(of: "/", with: "%2F")):6432/\(database)"
    }
}
