import BankDomain
import EgoCore
import EgoOperations
import EgoTestKit
import Testing

@Suite("An interrupted sample")
struct InterruptedSampleTests {
    @Test("that was stopped between events and snapshots is made whole by the next run")
    func stopped() async throws {
        let parameters = SampleParameters(entities: 3, events: 400, isLegacy: false, seed: 1)
        let whole = InMemoryStore()
        let expected = try await SampleFill(store: whole, sample: BankSample()).run(parameters).snapshots
        #expect(expected > 0)
        let store = InMemoryStore()
        let faulty = FaultyStore(store)
        faulty.plan(.fails, at: 1, of: [.commitChanges])
        await #expect(throws: StoreError.self) {
            _ = try await SampleFill(store: faulty, sample: BankSample()).run(parameters)
        }
        let rerun = try await SampleFill(store: store, sample: BankSample()).run(parameters)
        #expect(rerun.snapshots == expected)
        #expect(try await store.statistics().snapshots == expected)
        #expect(rerun.writtenSnapshots > 0)
        let again = try await SampleFill(store: store, sample: BankSample()).run(parameters)
        #expect((again.written, again.writtenSnapshots) == (0, 0))
    }
}
