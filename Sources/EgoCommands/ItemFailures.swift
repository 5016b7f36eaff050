import CommandLineKit
import EgoCore

/// The failures of single items of a command that goes on with the others.
struct ItemFailures {
    private var items: [(name: String, failure: CommandFailure)] = []

    var isEmpty: Bool { items.isEmpty }

    /// Keeps an item's failure.
    ///
    /// - Throws: what ends the whole command: a failure of the store itself, or an interruption.
    mutating func add(_ name: String, _ error: any Error) throws {
        if error is StoreError || error is CancellationError { throw error }
        let failure = CommandFailure(error)
        if [.interrupted, .unavailable, .busy, .io].contains(failure.exitCode) { throw error }
        items.append((name, failure))
    }

    /// How the command ended: well, partly, or with the one failure that all items had.
    ///
    /// - Parameters:
    ///   - done: how many items did not fail.
    ///   - isNamed: whether the user named the items, so that the failure of the only one is that of the command.
    /// - Throws: the failure of the only item.
    func completion(
        done: Int, changed: Bool, fields: [OutputValue.Field] = [], isNamed: Bool = true
    ) throws -> CommandOutput.Completion {
        if let first = items.first, items.count == 1, done == 0, isNamed { throw first.failure }
        var exitCode = ExitCode.ok
        if let first = items.first {
            let isSame = done == 0 && items.allSatisfy { $0.failure.exitCode == first.failure.exitCode }
            exitCode = isSame ? first.failure.exitCode : .partial
        }
        return CommandOutput.Completion(
            fields: fields, changed: changed, exitCode: exitCode,
            diagnostics: items.map { name, failure in
                Diagnostic(
                    .error, code: failure.exitCode.name, "\(Escape.shown(name)): \(failure.why)", hint: failure.hint)
            })
    }
}
