import EgoCore
import Testing

@testable import EgoOperations

@Suite("Waiting for what a projection is handed")
struct BenchDeliveriesTests {
    private func event(at position: Int64) throws -> ProjectedEvent {
        ProjectedEvent(
            PersistedEvent(
                persistenceID: try PersistenceID("a"), sequenceNumber: SequenceNumber(UInt64(position)),
                offset: Offset(position: Position(position)), timestamp: Timestamp(unixNanoseconds: 0), shard: Shard(0),
                payload: []), content: .erased)
    }

    @Test("an event that comes again is counted once, and others in their order")
    func again() async throws {
        let deliveries = BenchDeliveries()
        for position: Int64 in [1, 2, 1, 2, 3] { try await deliveries.handle(event(at: position)) }
        let first = try await deliveries.next(2)
        try await deliveries.handle(event(at: 4))
        let rest = try await deliveries.next(2)
        #expect(first.count == 2 && rest.count == 2)
        #expect(first + rest == (first + rest).sorted())
    }

    @Test("who waits is told when the last of so many has come, and ends when it is cancelled")
    func waiting() async throws {
        let deliveries = BenchDeliveries()
        async let times = deliveries.next(2)
        for position: Int64 in [1, 2] { try await deliveries.handle(event(at: position)) }
        #expect(try await times.count == 2)
        let other = Task { try await deliveries.next(1) }
        other.cancel()
        await #expect(throws: CancellationError.self) { try await other.value }
    }
}
