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
        var pending = ""
        var firstLine = 1
        var number = 0
        var (succeeded, failed) = (0, ExitCode?.none)
        var lines = LineSplitter(read)
        do {
            while let line = try lines.next() {
                if Task.isCancelled { return .interrupted }
                number += 1
                if pending.isEmpty { firstLine = number }
                pending += (pending.isEmpty ? "" : "\n") + line
                if !ScannedInput(pending).open.isEmpty { continue }
                let input = pending
                pending = ""
                if ScannedInput.trimmed(input).isEmpty { continue }
                let outcome = await session.run(input, at: "\(name):\(firstLine)")
                if session.quits { break }
                if Task.isCancelled { return .interrupted }
                guard outcome.isFailure else {
                    succeeded += 1
                    continue
                }
                if !keepsGoing { return outcome.exitCode }
                failed = failed ?? outcome.exitCode
            }
            if !pending.isEmpty, !session.quits {
                let open = ScannedInput(pending).open
                throw CommandFailure(.data, "\(name):\(firstLine)", "it ends while \(open) is open")
            }
        } catch {
            let options = RenderOptions(format: session.context.global.output ?? .jsonl)
            return ExitCode.all.first {
                $0.number
                    == Presenter.report(
                        error, OutputSchema.repl.name, options, session.context.console, isVerbose: false)
            } ?? .failure
        }
        guard let failed else { return .ok }
        return succeeded > 0 ? .partial : failed
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
    mutating func next() throws -> String? {
        var searched = start
        while true {
            if let end = buffer[searched...].firstIndex(of: 0x0a) {
                defer { start = end + 1 }
                return try text(buffer[start..<end])
            }
            searched = buffer.count
            if isAtEnd {
                if start == buffer.count { return nil }
                defer { start = buffer.count }
                return try text(buffer[start...])
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

    private func text(_ bytes: ArraySlice<UInt8>) throws -> String {
        guard let text = String(validating: bytes.last == 0x0d ? bytes.dropLast() : bytes, as: UTF8.self) else {
            throw CommandFailure(.data, "input", "a line is not UTF-8")
        }
        return text
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
