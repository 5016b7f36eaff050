package import EgoCore
import Synchronization

/// An event of a page, read once: what cannot be read fails when its turn comes.
package struct EventInHand: Sendable {
    /// The event as it is stored.
    package let record: PersistedEvent
    private let body: Result<ProjectedEvent.Body, PayloadError>

    /// Reads an event.
    package init(_ record: PersistedEvent, reader: EventReader) {
        self.record = record
        do throws(PayloadError) { body = .success(try ProjectedEvent.body(of: record, reader)) } catch {
            body = .failure(error)
        }
    }

    /// The event as the handler gets it.
    package func event() throws(PayloadError) -> ProjectedEvent { ProjectedEvent(record, try body.get()) }

    /// Whether there is nothing to be read any more.
    package var isErased: Bool {
        if case .success(.erased) = body { return true }
        return false
    }
}

/// Which event of a page failed, and why; told from inside the transaction that was undone for it.
package final class FailedEvent: Sendable {
    private let state = Mutex<(index: Int, error: any Error)?>(nil)

    /// None yet.
    package init() {}

    func set(_ index: Int, _ error: any Error) { state.withLock { $0 = (index, error) } }

    /// The event's index in the page, when the commit failed because of it; nil when the store failed.
    package func index(of error: StoreError) -> Int? {
        guard let found = state.withLock({ $0 }) else { return nil }
        // The handler met the store's failure first.
        if error.isAboutStore { return nil }
        return found.index
    }

    /// The error's text; nil when no event failed.
    package var text: String? { state.withLock { $0.map { "\($0.error)" } } }
}

/// A statement of the handler has ended the transaction, and the handler has not said so.
private struct TransactionEnded: Error, CustomStringConvertible {
    var description: String { "a statement of the handler has failed and ended the transaction" }
}

/// Hands events to a read model inside a transaction.
package struct ReadModelPage: Sendable {
    private let model: any ReadModel
    private let version: Int

    /// For one version of a read model's tables.
    package init(_ model: any ReadModel, version: Int) {
        self.model = model
        self.version = version
    }

    /// The work of a transaction; `failed` tells afterwards at which of the events it ended.
    package func work(_ events: ArraySlice<EventInHand>, _ failed: FailedEvent) -> ReadModelWork? {
        if events.isEmpty { return nil }
        let (model, version) = (model, version)
        return { transaction in
            let writer = ReadModelWriter(transaction, tables: model.tables, version: version)
            for index in events.indices {
                let event = events[index]
                do {
                    try model.handle(event.event(), in: writer.at(index))
                    // A handler that goes on after an error of its statement has nothing to go on with.
                    if !transaction.isUsable { throw TransactionEnded() }
                } catch {
                    // What waits is of events before this one; the first that fails is the one that counts.
                    try Self.finish(transaction, failed)
                    let isEnded = (error as? StoreError)?.code == .closed
                    let cause: any Error = isEnded ? TransactionEnded() : error
                    failed.set(index, cause)
                    throw cause
                }
            }
            try Self.finish(transaction, failed)
        }
    }

    /// Runs the statements that wait, and tells of which event the one was that failed.
    private static func finish(_ transaction: any ReadModelTransaction, _ failed: FailedEvent) throws {
        if transaction.failure == nil, transaction.isUsable {
            do { try transaction.flush() } catch {
                if transaction.failure == nil { throw error }
            }
        }
        guard let failure = transaction.failure else { return }
        failed.set(failure.step, failure.error)
        throw failure.error
    }

    func work(_ events: [EventInHand], _ failed: FailedEvent) -> ReadModelWork? { work(events[...], failed) }
}
