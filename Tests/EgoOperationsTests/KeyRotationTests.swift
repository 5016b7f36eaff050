import EgoOperations
import EgoTestKit
import Synchronization
import Testing

@testable import EgoCore

/// Runs something before each rewrapping.
private final class HookedKeys: ForwardingStore {
    let base: any Store
    private let hook: @Sendable () async -> Void

    init(_ base: any Store, beforeRewrapping hook: @escaping @Sendable () async -> Void) {
        (self.base, self.hook) = (base, hook)
    }

    func forward<Value: Sendable>(
        _ call: StoreCall, _ body: () async throws(StoreError) -> Value
    ) async throws(StoreError) -> Value {
        if call == .rewrap { await hook() }
        return try await body()
    }
}

@Suite("A rotation of keys", .timeLimit(.minutes(4)))
struct KeyRotationTests {
    private let old = MasterKey.random()
    private let new = MasterKey.random()
    private let time = ManualClock()

    /// Encrypted events of so many entities, and their keys, apart.
    private func vault(_ count: Int) async throws -> (data: InMemoryStore, keys: InMemoryStore) {
        let (data, keys) = (InMemoryStore(), InMemoryStore())
        let store = EncryptedStore(data, encryptor: AESEncryptor(keys: KeyRing(store: keys, master: old)))
        for number in 0..<count {
            let payload = AnyPayload(typeURL: "t/x.Y", value: Array("secret \(number)".utf8)).serialized()
            _ = try await store.append([
                AppendRequest(
                    persistenceID: PersistenceID(stored: "e-\(number)"), expectedVersion: .noStream,
                    events: [NewEvent(timestamp: Timestamp(unixNanoseconds: Int64(number)), payload: payload)])
            ])
        }
        return (data, keys)
    }

    /// How many events of a store can be read with a master key.
    private func readable(_ data: any Store, _ keys: any KeyStore, by master: MasterKey) async throws -> Int {
        let ring = KeyRing(store: keys, master: master)
        let store = EncryptedStore(data, encryptor: AESEncryptor(keys: ring))
        let page = try await store.journal(after: .start, shard: nil, limit: PageLimit(rows: 5_000))
        let reader = EventReader(decryptor: store.encryptor)
        return page.events.count { event in
            guard let clear = try? reader.clear(event) else { return false }
            return clear.value == Array("secret \(event.timestamp.unixNanoseconds)".utf8)
        }
    }

    private func copy(_ keys: InMemoryStore) async throws -> InMemoryStore {
        let copy = InMemoryStore()
        for listing in try await keys.keys(after: nil, limit: 10_000) { try await copy.add(listing.key) }
        return copy
    }

    private func rotation(_ store: any Store, _ keys: any KeyStore) -> KeyRotation {
        KeyRotation(store: store, keys: keys, by: operatorForTests, time: time)
    }

    private func rotate(
        _ keys: any Store, in store: (any Store)? = nil, to other: MasterKey? = nil, isDryRun: Bool = false
    ) async throws -> KeyRotation.Summary {
        try await rotation(store ?? keys, keys).rotate(
            from: old, to: other ?? new, isDryRun: isDryRun, command: "ego key rotate")
    }

    @Test("wraps all keys anew and leaves the payloads; repeated, it changes nothing")
    func all() async throws {
        let (data, keys) = try await vault(1_203)
        let before = try await data.journal(after: .start, shard: nil, limit: PageLimit(rows: 5_000)).events
        _ = try await keys.destroyKeys(of: PersistenceID(stored: "e-7"))
        let listed = try await keys.keys(after: nil, limit: 5_000)
        let preview = try await rotate(keys, in: data, isDryRun: true)
        #expect((preview.keys, preview.rotated, preview.kept, preview.failures) == (1_202, 1_202, 0, 0))
        #expect(try await keys.keys(after: nil, limit: 5_000) == listed, "a dry run changes nothing")
        #expect(try await data.jobs() == [])
        #expect(try await data.audit(after: 0, limit: 9) == [])
        let summary = try await rotate(keys, in: data)
        #expect(summary == preview)
        #expect(try await readable(data, keys, by: new) == 1_202)
        #expect(try await readable(data, keys, by: old) == 0)
        #expect(try await data.journal(after: .start, shard: nil, limit: PageLimit(rows: 5_000)).events == before)
        let jobs = try await data.jobs()
        #expect(jobs.map(\.state) == [.done])
        let audit = try await data.audit(after: 0, limit: 9)
        #expect(audit.map(\.entry.action) == ["key-rotate"])
        for text in [jobs[0].arguments, jobs[0].checkpoint, audit[0].entry.arguments, audit[0].entry.result] {
            #expect(!text.contains("secret"))
        }
        let again = try await rotate(keys, in: data)
        #expect((again.rotated, again.kept) == (0, 1_202))
        #expect(try await data.jobs() == jobs)
        #expect(try await data.audit(after: 0, limit: 9) == audit)
    }

    @Test("tells the keys that the old master key does not unwrap, and wraps the others")
    func foreign() async throws {
        let (data, keys) = try await vault(5)
        let ring = KeyRing(store: keys, master: .random())
        let foreign = try #require(try await ring.make(for: PersistenceID(stored: "foreign")).key)
        let summary = try await rotate(keys, in: data)
        #expect((summary.rotated, summary.failures, summary.failed) == (5, 1, [foreign.id]))
        #expect(try await readable(data, keys, by: new) == 5)
        let wrong = try await rotation(data, keys).rotate(
            from: .random(), to: .random(), isDryRun: false, command: "")
        #expect((wrong.rotated, wrong.failures) == (0, 6))
        #expect(try await readable(data, keys, by: new) == 5)
    }

    @Test("that fails at any call and is repeated ends like one that was not disturbed", arguments: [true, false])
    func faults(_ isHalf: Bool) async throws {
        let (data, keys) = try await vault(501)
        let fault: FaultyStore.Fault = isHalf ? .halfCompletes : .fails
        var open: [String] = []
        for number in 1... {
            let store = FaultyStore(try await copy(keys))
            store.plan(fault, at: number)
            let first = try? await rotate(store)
            let calls = store.calls
            store.plan(.fails, at: .max)
            // A lease whose owner never heard that he has it runs out.
            time.advance(by: .seconds(31))
            let again = try await rotate(store)
            #expect(again.failures == 0)
            #expect(try await readable(data, store, by: new) == 501, "call \(number), \(calls.last as Any)")
            let (jobs, audit) = (try await store.jobs(), try await store.audit(after: 0, limit: 99))
            let isRecorded = audit.contains { $0.entry.result.contains("\"rotated\"") }
            if jobs.map(\.state) != [.done] || !isRecorded {
                open.append("call \(number) (\(calls[number - 1])): jobs \(jobs.map(\.state)), recorded \(isRecorded)")
            }
            if calls.count < number {
                #expect(first?.rotated == 501)
                break
            }
        }
        #expect(open == [], "the job stays unfinished for good, or the audit log lacks the rotation")
    }

    @Test("is refused while another is at it, naming the other")
    func two() async throws {
        let (data, keys) = try await vault(3)
        let refusal = Mutex<StoreError?>(nil)
        let second = KeyRotation(
            store: data, keys: keys, by: Operator(name: "bob@other", process: 2), time: time)
        let (old, new) = (old, new)
        let hooked = HookedKeys(keys) {
            do {
                _ = try await second.rotate(from: old, to: new, isDryRun: false, command: "")
            } catch {
                refusal.withLock { $0 = error as? StoreError }
            }
        }
        _ = try await rotate(hooked, in: data)
        let error = refusal.withLock { $0 }
        #expect(error?.code == .leaseHeld)
        #expect(error?.message.contains(operatorForTests.name) == true, "\(String(describing: error))")
        #expect(try await readable(data, keys, by: new) == 3)
    }

    @Test("of two stores with one store of keys is refused too while another is at it")
    func twoStores() async throws {
        let (data, keys) = try await vault(3)
        let third = MasterKey.random()
        let second = rotation(InMemoryStore(), keys)
        let old = old
        let told = Mutex<KeyRotation.Summary?>(nil)
        let hooked = HookedKeys(keys) {
            let summary = try? await second.rotate(from: old, to: third, isDryRun: false, command: "")
            told.withLock { $0 = summary }
        }
        let first = try? await rotate(hooked, in: data)
        let count = (told.withLock { $0 }?.rotated ?? 0) + (first?.rotated ?? 0)
        #expect(count == 3, "both say that they have wrapped all keys, each by another master key")
    }

    @Test("wraps a key that is made meanwhile, wherever it is in the order")
    func made() async throws {
        let (data, keys) = try await vault(501)
        let ring = KeyRing(store: keys, master: old)
        let isDone = Mutex(false)
        let hooked = HookedKeys(keys) {
            let isFirst = isDone.withLock { done in
                defer { done = true }
                return !done
            }
            if !isFirst { return }
            // IDs are random: of sixteen, some are before the first page's end.
            for number in 0..<16 { _ = try? await ring.make(for: PersistenceID(stored: "late-\(number)")) }
        }
        let summary = try await rotate(hooked, in: data)
        let left = try await keys.keys(after: nil, limit: 5_000)
            .filter { MasterKey.fingerprint(of: $0.key) != new.fingerprint }
        #expect(left.isEmpty, "\(left.count) keys stay with the old master key; \(summary)")
    }

    @Test("passes over a key that is destroyed meanwhile, and wraps the others")
    func destroyed() async throws {
        let (data, keys) = try await vault(20)
        let hooked = HookedKeys(keys) { _ = try? await keys.destroyKeys(of: PersistenceID(stored: "e-3")) }
        let summary = try await rotate(hooked, in: data)
        #expect(summary.failures == 0)
        #expect(try await readable(data, keys, by: new) == 19)
        #expect(try await data.jobs().map(\.state) == [.done])
    }

    @Test("aside, keys that were destroyed are told of, even to a caller who was interrupted")
    func interruptedDestruction() async throws {
        let (data, keys) = try await vault(3)
        let rotation = rotation(data, keys)
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await rotation.destroy(PersistenceID(stored: "e-1"), isDryRun: false)
        }
        #expect(try await task.value == 1)
        #expect(try await keys.keys(of: PersistenceID(stored: "e-1")).isEmpty)
    }

    @Test("that is stopped says how to go on, and does")
    func stopped() async throws {
        let (data, keys) = try await vault(1_100)
        let rotation = rotation(data, keys)
        let (old, new) = (old, new)
        let rounds = Mutex(0)
        let task = Task {
            try await rotation.rotate(from: old, to: new, isDryRun: false, command: "ego key rotate") { count in
                if count != 500 { return }
                let round = rounds.withLock { rounds in
                    rounds += 1
                    return rounds
                }
                // The first time is the preview.
                if round == 2 { withUnsafeCurrentTask { $0?.cancel() } }
            }
        }
        let error = await #expect(throws: JobInterrupted.self) { try await task.value }
        #expect(error?.command == "ego key rotate")
        #expect(try await readable(data, keys, by: new) == 500)
        #expect(try await data.jobs().map(\.state) == [.interrupted])
        let summary = try await rotate(keys, in: data)
        #expect((summary.rotated, summary.failures) == (1_100, 0))
        #expect(try await readable(data, keys, by: new) == 1_100)
        #expect(try await data.jobs().map(\.state) == [.done])
    }
}
