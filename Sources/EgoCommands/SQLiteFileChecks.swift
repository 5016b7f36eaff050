#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// What an operator should know of a store's file, beside what is in it.
struct SQLiteFileChecks {
    let path: String

    struct Result {
        var message: String
        var remedy: String?
        var isWarning = false
        var isProblem = false
    }

    var checks: [Result] { [mode, writing, space, log].compactMap(\.self) }

    private var mode: Result? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        guard status.st_mode & 0o022 != 0 else { return Result(message: "nobody else can write it") }
        return Result(
            message: "others than its owner can write it", remedy: "chmod go-w \(path)", isWarning: true)
    }

    private var folder: String { path.lastIndex(of: "/").map { String(path[...$0]) } ?? "." }

    private var writing: Result? {
        if access(path, W_OK) == 0, access(folder, W_OK) == 0 { return Result(message: "it can be written") }
        return Result(
            message: "it, or its folder, cannot be written by this user",
            remedy: "commands that change the store need another user, or other permissions", isWarning: true)
    }

    /// A write-ahead log and a checkpoint need room.
    private var space: Result? {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { return nil }
        // Some file systems say that they have no end.
        let (free, overflow) = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
        let megabytes = Int((overflow ? .max : free) >> 20)
        if megabytes >= 256 { return Result(message: "\(megabytes) MB are free on its file system") }
        return Result(
            message: "only \(megabytes) MB are free on its file system", remedy: "free some space, or move the store",
            isWarning: megabytes >= 32, isProblem: megabytes < 32)
    }

    /// A log that goes on growing is one that a long reader keeps from being written back.
    private var log: Result? {
        var status = stat()
        guard stat(path + "-wal", &status) == 0 else { return nil }
        let megabytes = Int(status.st_size) >> 20
        if megabytes < 512 { return Result(message: "its write-ahead log has \(megabytes) MB") }
        return Result(
            message: "its write-ahead log has grown to \(megabytes) MB: a long reader keeps it from being written back",
            remedy: "end the process that has been reading for long", isWarning: true)
    }
}
