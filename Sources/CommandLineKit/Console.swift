import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Where a program reads and writes, and what it knows of the terminal.
public struct Console: Sendable {
    /// Data goes here.
    public var output: any OutputSink
    /// Everything else goes here.
    public var errors: any OutputSink
    /// Environment variables.
    public var environment: [String: String]
    /// Whether the output is a terminal.
    public var outputIsTerminal: Bool
    /// Whether the errors go to a terminal.
    public var errorsAreTerminal: Bool
    /// Whether the input is a terminal.
    public var inputIsTerminal: Bool
    /// The next bytes of standard input, as many as there are; empty at its end, nil when it is closed or cannot be read.
    public var readBlock: @Sendable () -> [UInt8]?
    /// A line from the user at the terminal, without its end; nil at the end of input or when there is no terminal.
    public var readAnswer: @Sendable () -> String?
    /// The size of the terminal, asked each time; nil when there is none.
    public var terminalSize: @Sendable () -> TerminalSize?

    /// A console with the given parts.
    public init(
        output: any OutputSink, errors: any OutputSink, environment: [String: String], outputIsTerminal: Bool = false,
        errorsAreTerminal: Bool = false, inputIsTerminal: Bool = false,
        readBlock: @escaping @Sendable () -> [UInt8]? = { nil },
        readAnswer: @escaping @Sendable () -> String? = { nil },
        terminalSize: @escaping @Sendable () -> TerminalSize? = { nil }
    ) {
        self.output = output
        self.errors = errors
        self.environment = environment
        self.outputIsTerminal = outputIsTerminal
        self.errorsAreTerminal = errorsAreTerminal
        self.inputIsTerminal = inputIsTerminal
        self.readBlock = readBlock
        self.readAnswer = readAnswer
        self.terminalSize = terminalSize
    }

    /// All of standard input; nil when it is closed or cannot be read.
    public func readInput() -> [UInt8]? {
        var bytes: [UInt8] = []
        while let block = readBlock() {
            if block.isEmpty { return bytes }
            bytes += block
        }
        return nil
    }

    /// The columns of the terminal; nil when there is none.
    public func columns() -> Int? { terminalSize()?.columns }

    /// The process's own streams and terminal.
    ///
    /// A standard stream that was closed is opened on `/dev/null`, so that no other file gets its number; writing to a
    /// closed output fails all the same.
    public static func process(environment: [String: String]) -> Console {
        let closed = [Int32(0), 1, 2].filter { descriptor in
            guard fcntl(descriptor, F_GETFD) < 0 else { return false }
            return open("/dev/null", O_RDWR) >= 0
        }
        let errors = StatusLine(on: FileDescriptorSink(2))
        var output: any OutputSink = FileDescriptorSink(1)
        if closed.contains(1) {
            output = ClosedSink()
        } else if isatty(1) == 1 {
            output = AboveStatusLine(output, errors)
        }
        return Console(
            output: output, errors: errors, environment: environment,
            outputIsTerminal: isatty(1) == 1, errorsAreTerminal: isatty(2) == 1, inputIsTerminal: isatty(0) == 1,
            readBlock: {
                if closed.contains(0) { return nil }
                var buffer = [UInt8](repeating: 0, count: 65_536)
                while true {
                    let count = read(0, &buffer, buffer.count)
                    if count >= 0 { return Array(buffer[..<count]) }
                    if errno != EINTR { return nil }
                }
            },
            readAnswer: { readTerminalLine() },
            terminalSize: {
                var size = winsize()
                for descriptor: Int32 in [1, 2] where ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
                {
                    return TerminalSize(columns: Int(size.ws_col), rows: Int(size.ws_row))
                }
                return environment["COLUMNS"].flatMap { Int($0) }.map { TerminalSize(columns: $0, rows: 24) }
            })
    }
}

/// A line from standard input, which is a terminal; nil at its end, and when the task was cancelled meanwhile.
private func readTerminalLine() -> String? {
    var line: [UInt8] = []
    while !Task.isCancelled {
        var descriptor = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
        guard poll(&descriptor, 1, 100) > 0 else { continue }
        var byte: UInt8 = 0
        let count = read(0, &byte, 1)
        if count < 0, errno == EINTR { continue }
        if count <= 0 { return nil }
        if byte == 0x0a { return String(decoding: line, as: UTF8.self) }
        line.append(byte)
    }
    return nil
}

/// The size of a terminal, in characters.
public struct TerminalSize: Sendable, Hashable {
    /// From left to right.
    public var columns: Int
    /// From top to bottom.
    public var rows: Int

    /// A size.
    public init(columns: Int, rows: Int) {
        self.columns = columns
        self.rows = rows
    }
}

/// Takes bytes.
public protocol OutputSink: Sendable {
    /// Takes bytes; they may stay in a buffer until ``flush()``.
    func write(bytes: some Sequence<UInt8>) throws(OutputError)

    /// Lets go of everything that was taken.
    func flush() throws(OutputError)

    /// Fails when nothing can be written, as far as that can be known beforehand.
    func check() throws(OutputError)
}

extension OutputSink {
    /// Takes text, as UTF-8.
    public func write(_ text: String) throws(OutputError) { try write(bytes: text.utf8) }

    /// Nothing is known beforehand.
    public func check() throws(OutputError) {}
}

/// Why bytes could not be written.
public enum OutputError: Error, Sendable, Hashable {
    /// Nobody reads any more; not an error to report.
    case brokenPipe
    /// The operating system's error number.
    case failed(errno: Int32)
}

extension OutputError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .brokenPipe: "broken pipe"
        case .failed(let number): String(cString: strerror(number))
        }
    }
}

/// Writes to a file descriptor, in blocks.
public final class FileDescriptorSink: OutputSink {
    private let descriptor: Int32
    private let buffer = Mutex<[UInt8]>([])
    private static let blockSize = 65_536

    /// A sink that does not own its descriptor.
    public init(_ descriptor: Int32) {
        self.descriptor = descriptor
    }

    public func write(bytes: some Sequence<UInt8>) throws(OutputError) {
        let isFull = buffer.withLock { buffer in
            buffer.append(contentsOf: bytes)
            return buffer.count >= Self.blockSize
        }
        if isFull { try flush() }
    }

    public func check() throws(OutputError) {
        var own = stat()
        guard fstat(descriptor, &own) == 0 else { throw .failed(errno: errno) }
        let access = fcntl(descriptor, F_GETFL) & O_ACCMODE
        if access == O_RDONLY { throw .failed(errno: EBADF) }
        // The device that is always full stands for a disk that is: it can be told before anything is done.
        var full = stat()
        if own.st_mode & S_IFMT == S_IFCHR, stat("/dev/full", &full) == 0, own.st_rdev == full.st_rdev {
            throw .failed(errno: ENOSPC)
        }
    }

    public func flush() throws(OutputError) {
        let bytes = buffer.withLock { buffer in
            defer { buffer.removeAll(keepingCapacity: true) }
            return buffer
        }
        var start = 0
        while start < bytes.count {
            let count = bytes[start...].withUnsafeBytes { systemWrite(descriptor, $0.baseAddress, $0.count) }
            if count >= 0 {
                start += count
            } else if errno != EINTR {
                throw errno == EPIPE ? .brokenPipe : .failed(errno: errno)
            }
        }
    }
}

private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
    write(descriptor, bytes, count)
}

/// A standard stream that was closed before the program began.
private struct ClosedSink: OutputSink {
    func write(bytes: some Sequence<UInt8>) throws(OutputError) { throw .failed(errno: EBADF) }
    func flush() throws(OutputError) {}
    func check() throws(OutputError) { throw .failed(errno: EBADF) }
}

/// Keeps what is written, for tests.
public final class MemorySink: OutputSink {
    private let buffer = Mutex<[UInt8]>([])

    /// An empty sink.
    public init() {}

    /// What was written.
    public var text: String { String(decoding: bytes, as: UTF8.self) }

    /// What was written, byte for byte.
    public var bytes: [UInt8] { buffer.withLock { $0 } }

    public func write(bytes: some Sequence<UInt8>) throws(OutputError) {
        buffer.withLock { $0.append(contentsOf: bytes) }
    }

    public func flush() throws(OutputError) {}
}
