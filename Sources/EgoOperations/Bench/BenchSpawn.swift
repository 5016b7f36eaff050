#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Starts programs for measurements.
enum BenchSpawn {
    /// Starts a program; what it writes to standard error is thrown away.
    ///
    /// - Parameters:
    ///   - words: the program's path, and its arguments.
    ///   - input: its standard input; nil for one that is empty.
    ///   - output: its standard output; nil throws that away too.
    /// - Returns: the process, which the caller has to wait for.
    /// - Throws: ``OperationError`` with code `failed` when there is no such program, or no room for a process.
    static func start(_ words: [String], input: Int32? = nil, output: Int32? = nil) throws(OperationError) -> pid_t {
        #if canImport(Glibc)
            var actions = posix_spawn_file_actions_t()
        #else
            var actions: posix_spawn_file_actions_t?
        #endif
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (stream, file) in [(STDIN_FILENO, input), (STDOUT_FILENO, output), (STDERR_FILENO, nil)] {
            if let file {
                posix_spawn_file_actions_adddup2(&actions, file, stream)
            } else {
                posix_spawn_file_actions_addopen(&actions, stream, "/dev/null", O_RDWR, 0)
            }
        }
        let arguments = words.map { strdup($0) } + [nil]
        defer { for word in arguments { free(word) } }
        var process = pid_t()
        let code = posix_spawn(&process, words[0], &actions, nil, arguments, environ)
        if code != 0 { throw OperationError(.failed, "\(words[0]): \(String(cString: strerror(code)))") }
        return process
    }
}
