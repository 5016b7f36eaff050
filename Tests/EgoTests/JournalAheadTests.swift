import Ego
import EgoCore
import EgoTestKit
import Synchronization
import Testing

@Suite("Pages of the journal that are read ahead")
struct JournalAheadTests {
    private let store = FaultyStore(InMemoryStore())
    private let limit = PageLimit(rows: 2)

    private func reads(of store: FaultyStore) -> Int { store.calls.count { $0 == .journal } }

    @Test("have every event once and in order, also of those that come meanwhile")
    func order() async throws {
        try await store.add(9, of: ["a", "b"])
        let journal = JournalAhead(store, limit, patience: .seconds(600))
        var (place, found, left) = (Offset.start, [Seen](), 5)
        while true {
            let page = try await journal.page(after: place)
            try await journal.working(on: page) {
                found += page.events.map { Seen($0) }
                if left > 0 { try await store.add(1, of: ["c"]) }
                left -= 1
            }
            place = page.next
            if page.reachedHead, left < 0 { break }
        }
        #expect(try await found == store.whole().map { Seen($0) } && found.count == 14)
    }

    @Test("are read while the page before is worked on, and not once more")
    func overlap() async throws {
        try await store.add(4, of: ["a"])
        let journal = JournalAhead(store, limit, patience: .seconds(600))
        let first = try await journal.page(after: .start)
        try await journal.working(on: first) { try await within { reads(of: store) == 2 } }
        let second = try await journal.page(after: first.next)
        #expect(second.events.map(\.sequenceNumber) == [3, 4] && reads(of: store) == 2)
        // There is nothing after it yet: what comes is looked for when it is asked for.
        await journal.working(on: second) {}
        #expect(reads(of: store) == (second.reachedHead ? 2 : 3))
    }

    @Test("are of no use for another place")
    func otherPlace() async throws {
        try await store.add(6, of: ["a"])
        let journal = JournalAhead(store, limit, patience: .seconds(600))
        let first = try await journal.page(after: .start)
        await journal.working(on: first) {}
        #expect(try await journal.page(after: .start).events.map(\.sequenceNumber) == [1, 2])
        #expect(try await journal.page(after: first.next).events.map(\.sequenceNumber) == [3, 4])
    }

    @Test("are none where the work has failed, or the reading")
    func failures() async throws {
        struct Mistake: Error {}
        try await store.add(6, of: ["a"])
        let journal = JournalAhead(store, limit, patience: .seconds(600))
        let first = try await journal.page(after: .start)
        await #expect(throws: Mistake.self) { try await journal.working(on: first) { throw Mistake() } }
        store.plan(.fails, at: 1, of: [.journal])
        await journal.working(on: first) {}
        #expect(reads(of: store) == 1)
        // Read by whoever asks, who is told when that fails.
        #expect(try await journal.page(after: first.next).events.map(\.sequenceNumber) == [3, 4])
        store.plan(.fails, at: 1, of: [.journal])
        let error = await #expect(throws: StoreError.self) { _ = try await journal.page(after: first.next) }
        #expect(error?.code == .io)
    }

    @Test("are not read twice by slow work, and again ahead by quick work")
    func slow() async throws {
        try await store.add(12, of: ["a"])
        let journal = JournalAhead(store, limit, patience: .milliseconds(40))
        var place = Offset.start
        // The first one is read ahead, and once more; from then on each is read once.
        for wanted in 2...4 {
            let page = try await journal.page(after: place)
            try await journal.working(on: page) { try await Task.sleep(for: .milliseconds(60)) }
            place = page.next
            #expect(reads(of: store) == wanted)
        }
        let page = try await journal.page(after: place)
        let before = reads(of: store)
        try await within {
            await journal.working(on: page) {}
            return reads(of: store) > before
        }
    }

    @Test("are read anew where they have waited for longer than an erasure waits", arguments: [false, true])
    func erased(_ isLate: Bool) async throws {
        try await store.add(4, of: ["a"])
        let journal = JournalAhead(store, limit, patience: isLate ? .milliseconds(1) : .seconds(600))
        let first = try await journal.page(after: .start)
        try await journal.working(on: first) { try await within { reads(of: store) == 2 } }
        let tombstone = Tombstone(persistenceID: id("a"), sequenceNumber: 4, erasedAt: SystemTime().now())
        _ = try await store.commit([.placeTombstone(tombstone)], under: nil)
        try await Task.sleep(for: .milliseconds(2))
        let second = try await journal.page(after: first.next)
        #expect(second.events.map(\.isErased) == [isLate, isLate])
    }
}
