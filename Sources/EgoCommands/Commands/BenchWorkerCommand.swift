import CommandLineKit
import Dispatch
import EgoCore
import EgoOperations
import EgoPostgres
import EgoSQLite

extension Command where Context == CommandContext {
    /// What `ego bench` starts where more processes than one are measured: what is to be done comes in on standard input,
    /// a line each, what it came to goes out on standard output. It ends when there is nobody any more who tells it.
    static var benchWorker: Command {
        Command(
            "__bench", summary: "do one process's part of a measurement", output: .bench, options: { EmptyOptions() },
            examples: [Example("__bench", "what ego bench starts")], isHidden: true
        ) { _, context in
            let console = context.console
            let worker = BenchWorker(time: context.time) { address, order in
                switch try StoreLocation(address.store) {
                case .sqlite(let path):
                    var options = SQLiteStoreOptions()
                    if order.readsOnce { options.cacheBytes = 1 << 20 }
                    return try await SQLiteStore(path: path, options: options)
                case .postgres(let url):
                    var options = PostgresStoreOptions()
                    options.schema = address.schema
                    return try await PostgresStore(url: url, options: options)
                }
            }
            let (lines, continuation) = AsyncStream.makeStream(of: String.self)
            let work = Task {
                try await worker.serve(lines) { line in
                    try console.output.write(line + "\n")
                    try console.output.flush()
                }
            }
            DispatchQueue.global().async {
                var rest: [UInt8] = []
                while let block = console.readBlock(), !block.isEmpty {
                    rest += block
                    while let end = rest.firstIndex(of: 0x0a) {
                        continuation.yield(String(decoding: rest[..<end], as: UTF8.self))
                        rest.removeSubrange(...end)
                    }
                }
                continuation.finish()
                // Between turns there is nothing to cancel; within one, nobody waits for what it comes to.
                work.cancel()
            }
            do {
                try await withTaskCancellationHandler {
                    try await work.value
                } onCancel: {
                    work.cancel()
                }
            } catch is CancellationError where !Task.isCancelled {
                // Whoever told it is gone.
            }
            return CommandOutput(text: "")
        }
    }
}
