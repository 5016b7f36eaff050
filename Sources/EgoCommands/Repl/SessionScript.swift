import CommandLineKit
import EgoCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Inputs that nobody types: of a file, of standard input, or of the command line.
struct SessionScript {
    private let session: ReplSession
    /// What stands before the line's number in an error; empty for nothing.
    private let name: String
    /// The next bytes; empty at the end.
    private let read: () throws -> [UInt8]

    /// One text.
    init(_ text: String, name: String, _ session: ReplSession) {
        self.session = session
        self.name = name
        var rest = Array(text.utf8)
        read = {
            defer { rest = [] }
            return rest
        }
    }

    /// Standard input.
    init(_ session: ReplSession) {
        self.session = session
        name = "standard input"
        let console = session.context.console
        read = {
            guard let block = console.readBlock() else { throw CommandFailure(.io, "standard input", "it is closed") }
            return block
        }
    }

    /// A file.
    init(file path: String, _ session: ReplSession) throws {
        self.session = session
        name = Escape.shown(path)
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw CommandFailure(.noInput, Escape.shown(path), "there is no such file")
        }
        if status.st_mode & S_IFMT == S_IFDIR { throw CommandFailure(.noInput, Escape.shown(path), "it is a folder") }
        let file = InputFile(path)
        if file.descriptor < 0 { throw CommandFailure(.noPermission, Escape.shown(path), "it cannot be read") }
        read = { try file.read() }
    }

    /// Runs all inputs, or those up to the first that fails.
    ///
    /// - Returns: the exit code of the input that ended it; ``ExitCode/partial`` when it went on after failures, or the
    ///   first failure's where nothing succeeded.
    func run(keepsGoing: Bool) async -> ExitCode {
        var pending = ScannedInput()
        var input = ""
        var firstLine = 1
        var number = 0
        var (succeeded, failed) = (0, ExitCode?.none)
        var lines = LineSplitter(read)
        do {
            while let bytes = try lines.next() {
                if Task.isCancelled { return .interrupted }
                number += 1
                if pending.hasNoLines { firstLine = number }
                var exitCode: ExitCode
                if let line = String(validating: bytes, as: UTF8.self) {
                    input += (pending.hasNoLines ? "" : "\n") + line
                    pending.append(line)
                    if !pending.isWhole { continue }
                    let whole = input
                    let isEmpty = pending.text.isEmpty
                    (pending, input) = (ScannedInput(), "")
                    if isEmpty { continue }
                    exitCode = await session.run(whole, at: "\(name):\(firstLine)").exitCode
                } else {
                    (pending, input) = (ScannedInput(), "")
                    exitCode = report(CommandFailure(.data, "\(name):\(number)", "the line is not UTF-8"))
                }
                if session.quits { break }
                if Task.isCancelled { return .interrupted }
                if exitCode == .ok {
                    succeeded += 1
                    continue
                }
                if !keepsGoing { return exitCode }
                failed = failed ?? exitCode
            }
            if !pending.hasNoLines, !session.quits {
                throw CommandFailure(.data, "\(name):\(firstLine)", "it ends while \(pending.open) is open")
            }
        } catch {
            let exitCode = report(error)
            if !keepsGoing { return exitCode }
            failed = failed ?? exitCode
        }
        guard let failed else { return .ok }
        return succeeded > 0 ? .partial : failed
    }

    /// Says what is wrong with the script itself.
    private func report(_ error: any Error) -> ExitCode {
        let options = RenderOptions(format: session.settings.format ?? .jsonl)
        _ = Presenter.report(error, OutputSchema.repl.name, options, session.context.console, isVerbose: false)
        return CommandFailure(error).exitCode
    }
}

/// Lines of bytes that come in blocks.
private struct LineSplitter {
    private let read: () throws -> [UInt8]
    private var buffer: [UInt8] = []
    private var start = 0
    private var isAtEnd = false

    init(_ read: @escaping () throws -> [UInt8]) { self.read = read }

    /// The next line without its end; nil after the last one.
    mutating func next() throws -> ArraySlice<UInt8>? {
        var searched = start
        while true {
            if let end = buffer[searched...].firstIndex(of: 0x0a) {
                defer { start = end + 1 }
                return withoutReturn(buffer[start..<end])
            }
            searched = buffer.count
            if isAtEnd {
                if start == buffer.count { return nil }
                defer { start = buffer.count }
                return withoutReturn(buffer[start...])
            }
            let block = try read()
            isAtEnd = block.isEmpty
            if start > 0 {
                buffer.removeFirst(start)
                searched -= start
                start = 0
            }
            buffer += block
        }
    }

    private func withoutReturn(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        bytes.last == 0x0d ? bytes.dropLast() : bytes
    }
}

/// A file that is read from its start to its end.
private final class InputFile {
    let descriptor: Int32

    init(_ path: String) { descriptor = open(path, O_RDONLY | O_CLOEXEC) }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    func read() throws -> [UInt8] {
        var block = [UInt8](repeating: 0, count: 65_536)
        let count = systemRead(descriptor, &block, block.count)
        if count < 0 { throw CommandFailure(.io, "input", String(cString: strerror(errno))) }
        return Array(block[..<count])
    }
}

private func systemRead(_ descriptor: Int32, _ block: UnsafeMutableRawPointer, _ count: Int) -> Int {
    read(descriptor, block, count)
}
