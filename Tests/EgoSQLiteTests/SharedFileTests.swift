import EgoCore
import EgoSQLite
import EgoTestKit
import Foundation
import Testing

/// What a writer remembers of entities must never outlive what others do to them.
@Suite("One file in two stores")
struct SharedFileTests {
    private func request(_ id: String, _ expected: ExpectedVersion, _ count: Int = 1) throws -> AppendRequest {
        AppendRequest(
            persistenceID: try PersistenceID(id), expectedVersion: expected,
            events: [NewEvent](
                repeating: NewEvent(timestamp: SystemTime().now(), payload: [10, 3, 97, 47, 98]), count: count))
    }

    private func outcome(_ store: SQLiteStore, _ request: AppendRequest) async throws -> String {
        switch try #require(try await store.append([request]).first) {
        case .appended(let last, _): "\(last)"
        case .conflict(let actual): "conflict at \(actual)"
        case .duplicate: "duplicate"
        case .erased: "erased"
        }
    }

    @Test("each append sees what the other store has written, also where a number would be free")
    func appends() async throws {
        let folder = try TemporaryFolder()
        let one = try await newStore(folder.path("ego.db"))
        let other = try await SQLiteStore(path: folder.path("ego.db"))
        #expect(try await outcome(one, request("a", .noStream)) == "1")
        #expect(try await outcome(other, request("a", .exact(1), 2)) == "3")
        #expect(try await outcome(one, request("a", .exact(1))) == "conflict at 3")
        #expect(try await outcome(one, request("a", .any)) == "4")
        #expect(try await outcome(other, request("a", .exact(3))) == "conflict at 4")
        for number in 4..<24 {
            let store = number.isMultiple(of: 3) ? one : other
            #expect(try await outcome(store, request("a", .exact(SequenceNumber(UInt64(number))))) == "\(number + 1)")
        }
        #expect(try await allEvents(of: PersistenceID("a"), in: other).count == 24)
        await one.close()
        await other.close()
    }

    @Test("neither appends to what either has erased or trimmed")
    func changes() async throws {
        let folder = try TemporaryFolder()
        let one = try await newStore(folder.path("ego.db"))
        let other = try await SQLiteStore(path: folder.path("ego.db"))
        for (name, eraser) in [("own", one), ("others", other)] {
            let id = try PersistenceID(name)
            #expect(try await outcome(one, request(name, .any, 3)) == "3")
            // With all events gone, the floor tells what the last number was.
            _ = try await eraser.commit([.deleteEvents(of: id, through: 3)], under: nil)
            #expect(try await outcome(one, request(name, .exact(0))) == "conflict at 3")
            #expect(try await outcome(one, request(name, .exact(3))) == "4")
            _ = try await eraser.commit(
                [.placeTombstone(Tombstone(persistenceID: id, sequenceNumber: 4, erasedAt: SystemTime().now()))],
                under: nil)
            #expect(try await outcome(one, request(name, .any)) == "erased")
            #expect(try await outcome(other, request(name, .exact(4))) == "erased")
        }
        await one.close()
        await other.close()
    }

    @Test("an append that fails leaves nothing behind in memory")
    func failedAppend() async throws {
        let folder = try TemporaryFolder()
        var options = SQLiteStoreOptions()
        options.maximumPages = 120
        let store = try await newStore(folder.path("ego.db"), options: options)
        #expect(try await outcome(store, request("a", .any)) == "1")
        let large = AppendRequest(
            persistenceID: try PersistenceID("a"), expectedVersion: .exact(2),
            events: [NewEvent(timestamp: SystemTime().now(), payload: [UInt8](repeating: 1, count: 1 << 20))])
        let small = try request("a", .exact(1))
        let error = await #expect(throws: StoreError.self) { try await store.append([small, large]) }
        #expect(error?.code == .full, "\(String(describing: error))")
        #expect(try await outcome(store, request("a", .exact(2))) == "conflict at 1")
        #expect(try await outcome(store, request("a", .exact(1))) == "2")
        await store.close()
    }
}
