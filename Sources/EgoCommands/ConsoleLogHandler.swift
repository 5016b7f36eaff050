import CommandLineKit
import EgoCore
import Logging

/// Writes a log to standard error, above any progress bar: as text, or as a JSON object a line.
struct ConsoleLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level

    private let console: Console
    private let format: GlobalOptions.LogFormat
    private let time: any TimeSource

    init(_ console: Console, format: GlobalOptions.LogFormat, level: Logger.Level, time: any TimeSource) {
        self.console = console
        self.format = format
        self.logLevel = level
        self.time = time
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let (level, message) = (event.level, event.message)
        let parts = self.metadata.merging(event.metadata ?? [:]) { $1 }.sorted { $0.key < $1.key }
        let now = time.now().unixNanoseconds
        let text: String
        switch format {
        case .text:
            let details = parts.map { " \($0.key)=\(Escape.shown("\($0.value)"))" }.joined()
            text = "\(TimeStyle.rfc3339Brief.text(now)) \(level) \(Escape.shown("\(message)"))\(details)"
        case .json:
            text =
                OutputValue.object(
                    [
                        .init("type", .text("log")), .init("at", .time(now)), .init("level", .text(level.rawValue)),
                        .init("message", .text("\(message)")),
                    ] + parts.map { .init($0.key, .text("\($0.value)")) }
                ).json(.rfc3339)
        }
        // A log that cannot be written is no reason to stop the work.
        try? console.errors.write(text + "\n")
        try? console.errors.flush()
    }
}
