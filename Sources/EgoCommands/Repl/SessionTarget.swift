import CommandLineKit
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Where output goes that does not go to standard output: a file, or a line of the shell.
final class SessionTarget: Sendable {
    let sink: any OutputSink
    private let end: @Sendable () throws -> Void

    /// Reads `|COMMAND`, or the name of a file, which is written anew.
    init(_ text: String, _ context: CommandContext) throws {
        if text.hasPrefix("|") {
            let line = ScannedInput.trimmed(String(text.dropFirst()))
            if line.isEmpty { throw UsageError("a command is missing", subject: "|") }
            guard let pipe = ShellPipe(line) else {
                throw CommandFailure(.io, Escape.shown(line), "it cannot be started")
            }
            sink = pipe
            end = { try pipe.close() }
            return
        }
        let path = SessionOutput.path(text, context)
        try context.checkNotStore(path, subject: "output")
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        if descriptor < 0 {
            throw CommandFailure(
                errno == EACCES ? .noPermission : .io, Escape.shown(text), String(cString: strerror(errno)))
        }
        let file = FileDescriptorSink(descriptor)
        sink = file
        end = {
            defer { systemClose(descriptor) }
            try file.flush()
        }
    }

    /// Writes what is left; a program that reads it has ended then.
    func close() throws {
        // Whoever reads no more has read enough.
        do { try end() } catch let error as OutputError where error == .brokenPipe {}
    }
}

private func systemClose(_ descriptor: Int32) { close(descriptor) }
