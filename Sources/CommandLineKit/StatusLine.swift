import Synchronization

/// One line at the bottom of what a program has said, such as a progress bar: whatever else is written stands above it,
/// and is never overwritten.
public final class StatusLine: OutputSink {
    private let sink: any OutputSink
    private let line = Mutex("")

    /// A line on the terminal that a sink writes to; nothing is drawn until ``show(_:)``.
    public init(on sink: any OutputSink) {
        self.sink = sink
    }

    /// Draws the line, in place of what it was; empty for none. It must fit the terminal's width.
    public func show(_ text: String) throws(OutputError) {
        // Written under the lock: what somebody else says meanwhile must not come between line and text.
        try line.withLock { (line) throws(OutputError) in
            let wasDrawn = !line.isEmpty
            line = text
            if !wasDrawn, text.isEmpty { return }
            try sink.write("\r\u{1b}[K\(text)")
            try sink.flush()
        }
    }

    public func write(bytes: some Sequence<UInt8>) throws(OutputError) {
        try above { () throws(OutputError) in try sink.write(bytes: bytes) }
    }

    public func flush() throws(OutputError) { try sink.flush() }

    public func check() throws(OutputError) { try sink.check() }

    /// Writes whole lines above the status line.
    func above(_ write: () throws(OutputError) -> Void) throws(OutputError) {
        try line.withLock { (line) throws(OutputError) in
            if line.isEmpty { return try write() }
            try sink.write("\r\u{1b}[K")
            try sink.flush()
            try write()
            try sink.write(line)
            try sink.flush()
        }
    }
}

/// Data that goes to the terminal on which a status line stands.
struct AboveStatusLine: OutputSink {
    private let sink: any OutputSink
    private let status: StatusLine

    init(_ sink: any OutputSink, _ status: StatusLine) {
        self.sink = sink
        self.status = status
    }

    func write(bytes: some Sequence<UInt8>) throws(OutputError) {
        try status.above { () throws(OutputError) in try sink.write(bytes: bytes) }
    }

    func flush() throws(OutputError) {
        try status.above { () throws(OutputError) in try sink.flush() }
    }

    func check() throws(OutputError) { try sink.check() }
}
