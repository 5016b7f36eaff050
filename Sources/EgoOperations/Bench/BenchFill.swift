import EgoCore
import SwiftProtobuf

/// What stores are filled with before they are measured.
struct BenchFill: Sendable {
    /// The message of each event, as it is stored.
    let payload: [UInt8]
    let message: Google_Protobuf_BytesValue
    /// 2026-01-01T00:00:00Z; each event follows a millisecond after the one before.
    private static let start = Timestamp(unixNanoseconds: 1_767_225_600_000_000_000)

    init(_ parameters: BenchParameters) throws {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(parameters.payload)
        // Bytes that do not compress to nothing.
        for index in 0..<parameters.payload { bytes.append(UInt8(truncatingIfNeeded: (index &* 2_654_435_761) >> 7)) }
        var message = Google_Protobuf_BytesValue()
        message.value.append(contentsOf: bytes)
        self.message = message
        payload = try AnyPayload.serialized(packing: message)
    }

    static func id(_ number: Int) -> PersistenceID { PersistenceID(stored: "bench-\(number + 1)") }

    func event(_ number: Int) -> NewEvent {
        NewEvent(timestamp: Self.start.advanced(by: .milliseconds(number)), payload: payload)
    }

    /// Appends events of so many entities in turn, from the one of a number on.
    func fill(_ store: any Store, events: Int, entities: Int, from first: Int = 0) async throws {
        var done = 0
        while done < events {
            try Task.checkCancellation()
            let end = min(done + PageLimit.standard.rows, events)
            let group = (done..<end).map { number in
                AppendRequest(
                    persistenceID: Self.id(first + number % entities), kind: "bench",
                    expectedVersion: .exact(SequenceNumber(UInt64(number / entities))), events: [event(number)])
            }
            try check(try await store.append(group))
            done = end
        }
        try await store.settle(timeout: .seconds(10))
    }

    /// Saves a snapshot of entities at their event of a number.
    func snapshot(_ store: any Store, entities: Int, at number: Int) async throws {
        let state = try AnyPayload.serialized(packing: Google_Protobuf_Int64Value(Int64(number)))
        var done = 0
        while done < entities {
            try Task.checkCancellation()
            let end = min(done + 1_000, entities)
            let changes = (done..<end).map { entity in
                OperatorChange.saveSnapshot(
                    StoredSnapshot(
                        persistenceID: Self.id(entity), sequenceNumber: SequenceNumber(UInt64(number)),
                        timestamp: Self.start, payload: state))
            }
            _ = try await store.commit(changes, under: nil)
            done = end
        }
    }

    /// Nobody else writes here: each append has to succeed.
    func check(_ outcomes: [AppendOutcome]) throws {
        for outcome in outcomes {
            if case .appended = outcome { continue }
            throw OperationError(.failed, "an append to the scratch store was refused: \(outcome)")
        }
    }
}
