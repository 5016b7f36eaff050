import Foundation
import Glibc
import Testing

/// A program on a real pseudo-terminal.
final class Terminal {
    // Of asm-generic/ioctls.h and spawn.h, which Swift does not import.
    private static let setLock: UInt = 0x4004_5431
    private static let getNumber: UInt = 0x8004_5430
    private static let newSession: Int16 = 0x80

    private let master: Int32
    private let process: pid_t
    private var bytes: [UInt8] = []
    private var isOver = false

    /// Everything that the program has written so far.
    var text: String { String(decoding: bytes, as: UTF8.self) }

    /// Starts a line of bash, in which `$EGO` is the built program, on a terminal of its own.
    init(
        _ script: String, in folder: URL, columns: Int = 80, rows: Int = 24, environment: [String: String] = [:]
    ) throws {
        master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        var (unlock, number): (CInt, CUnsignedInt) = (0, 0)
        guard master >= 0, ioctl(master, Self.setLock, &unlock) == 0, ioctl(master, Self.getNumber, &number) == 0
        else { throw POSIXError(.EIO) }
        let name = "/dev/pts/\(number)"
        var size = winsize(ws_row: UInt16(rows), ws_col: UInt16(columns), ws_xpixel: 0, ws_ypixel: 0)
        _ = ioctl(master, UInt(TIOCSWINSZ), &size)

        var variables = [
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "EGO": egoBinary.path, "XDG_CONFIG_HOME": folder.path,
            "HOME": folder.path, "SWIFT_BACKTRACE": "enable=no", "TERM": "xterm", "PAGER": "", "LC_ALL": "C.UTF-8",
        ]
        variables.merge(environment) { $1 }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // Opened by the leader of a new session, the terminal becomes its controlling one: Ctrl-C is a signal then.
        posix_spawn_file_actions_addopen(&actions, 0, name, O_RDWR, 0)
        posix_spawn_file_actions_adddup2(&actions, 0, 1)
        posix_spawn_file_actions_adddup2(&actions, 0, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Self.newSession)
        var arguments = ["bash", "-c", "cd '\(folder.path)' && { \(script)\n}"].map { (word: String) in strdup(word) }
        arguments.append(nil)
        var environment = variables.map { strdup("\($0.key)=\($0.value)") }
        environment.append(nil)
        defer { for pointer in arguments + environment { free(pointer) } }
        var child: pid_t = 0
        guard posix_spawn(&child, "/bin/bash", &actions, &attributes, arguments, environment) == 0 else {
            throw POSIXError(.EIO)
        }
        process = child
    }

    deinit {
        close(master)
        if !isOver { kill(process, SIGKILL) }
    }

    /// Types.
    func send(_ text: String) {
        let bytes = Array(text.utf8)
        _ = write(master, bytes, bytes.count)
    }

    /// Changes the size of the window.
    func resize(columns: Int, rows: Int = 24) {
        var size = winsize(ws_row: UInt16(rows), ws_col: UInt16(columns), ws_xpixel: 0, ws_ypixel: 0)
        _ = ioctl(master, UInt(TIOCSWINSZ), &size)
    }

    /// Reads until the program has written a text; whether it did within the time.
    @discardableResult
    func wait(for wanted: String, seconds: Double = 20, after start: Int = 0) -> Bool {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while true {
            if String(decoding: bytes.dropFirst(start), as: UTF8.self).contains(wanted) { return true }
            if ContinuousClock.now > deadline || !readMore(milliseconds: 50) { return false }
        }
    }

    /// Types, and then Tab until what is wanted is there: on a busy machine a completion that has nothing to say within
    /// its time says nothing, and whoever types asks again.
    func complete(_ typed: String, to wanted: String) -> Bool {
        let start = count
        send(typed)
        for _ in 1...10 {
            send("\t")
            if wait(for: wanted, seconds: 2, after: start) { return true }
        }
        return false
    }

    /// How many bytes were read so far, for ``wait(for:seconds:after:)``.
    var count: Int { bytes.count }

    /// Reads to the end; returns the exit code, or the negative number of a signal.
    func finish(seconds: Double = 30) -> Int32 {
        let deadline = ContinuousClock.now + .seconds(seconds)
        while readMore(milliseconds: 50) {
            if ContinuousClock.now > deadline {
                Issue.record("the program does not end: \(text)")
                kill(process, SIGKILL)
                break
            }
        }
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        isOver = true
        return status & 0x7f == 0 ? (status >> 8) & 0xff : -(status & 0x7f)
    }

    /// Reads what there is; false when the program has closed the terminal.
    private func readMore(milliseconds: Int32) -> Bool {
        var descriptor = pollfd(fd: master, events: Int16(POLLIN), revents: 0)
        if poll(&descriptor, 1, milliseconds) <= 0 { return true }
        var block = [UInt8](repeating: 0, count: 65_536)
        let count = read(master, &block, block.count)
        if count > 0 { bytes += block[..<count] }
        return count > 0 || (count < 0 && errno == EINTR)
    }

    /// The lines of the output, without the terminal's line ends.
    var lines: [String] {
        text.replacing("\r\n", with: "\n").split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }
}
