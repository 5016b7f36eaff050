import BankDomain
import Ego
import EgoCore
import EgoTestKit
import SwiftProtobuf
import Testing

@Suite("What a projection's handler gets")
struct ProjectionContentTests {
    /// Has a key named `good`; that named `gone` was destroyed.
    private struct Keys: PayloadDecryptor {
        func decrypt(_ payload: AnyPayload, of record: EncryptedRecord) throws(PayloadError) -> AnyPayload {
            switch record.keyID {
            case "good": AnyPayload(typeURL: payload.typeURL, value: payload.value.map { $0 ^ 0x5a })
            case "gone": throw .erased
            default: throw .undecryptable(keyID: record.keyID)
            }
        }
    }

    private func encrypted(_ key: String, _ what: String) throws -> NewEvent {
        var event = try newEvent(what)
        var payload = try AnyPayload(serialized: event.payload)
        payload.value = payload.value.map { $0 ^ 0x5a }
        (event.payload, event.encryptionKeyID, event.isEncrypted) = (payload.serialized(), key, true)
        return event
    }

    private func check(
        _ store: any Store, _ reader: EventReader, _ expected: [Seen],
        _ options: ProjectionOptions = ProjectionOptions()
    ) async throws {
        let recorder = Recorder()
        let elsewhere = ProjectionRunner(
            Projection("q", recorder, options: options), store: store, reader: reader, owner: "q", log: quiet())
        #expect(try await elsewhere.runUntilCaughtUp() == .caughtUp)
        #expect(recorder.seen == expected)
        let model = runner(.readModel(SeenModel()), store, options, reader: reader)
        #expect(try await model.runUntilCaughtUp() == .caughtUp)
        #expect(try await seen(in: store) == expected)
    }

    @Test("of an erased entity in the middle is that it was erased", arguments: Place.allCases, [1, 3, 500])
    func tombstone(_ place: Place, _ pageSize: Int) async throws {
        let folder = try StoreFolder()
        let store = try await place.newStore(folder)
        try await store.add(9, of: ["a", "b", "c"])
        _ = try await store.commit(
            [
                .placeTombstone(
                    Tombstone(
                        persistenceID: id("b"), sequenceNumber: 3, erasedAt: Timestamp(unixNanoseconds: 1)))
            ], under: nil)
        let expected = (1...3).flatMap { [Seen("a", $0), Seen("b", $0, "erased"), Seen("c", $0)] }
        try await check(store, EventReader(), expected, ProjectionOptions(pageSize: pageSize))
        #expect(try await store.letters() == [])
    }

    @Test("of an entity that was erased a while ago is that it was erased", arguments: Place.allCases)
    func erasedMeanwhile(_ place: Place) async throws {
        let folder = try StoreFolder()
        let store = try await place.newStore(folder)
        try await store.add(4, of: ["a", "b"])
        let recorder = Recorder(before: { event in
            if event.persistenceID == id("b") || event.sequenceNumber > 1 { return }
            let tombstone = Tombstone(persistenceID: id("b"), sequenceNumber: 2, erasedAt: SystemTime().now())
            // The page after this one may have been read already.
            try await Task.sleep(for: .milliseconds(50))
            _ = try await store.commit([.placeTombstone(tombstone)], under: nil)
            try await Task.sleep(for: Erasure.staleness)
        })
        let end = try await runner(.external(recorder), store, ProjectionOptions(pageSize: 1)).runUntilCaughtUp()
        #expect(end == .caughtUp)
        #expect(recorder.seen == [Seen("a", 1), Seen("b", 1, "erased"), Seen("a", 2), Seen("b", 2, "erased")])
    }

    @Test("of an erased entity is that, also where the payload cannot be read", arguments: Place.allCases)
    func unreadable(_ place: Place) async throws {
        let folder = try StoreFolder()
        let store = try await place.newStore(folder)
        try await store.add([("a", newEvent([0xff])), ("b", try encrypted("lost", "")), ("c", try newEvent())])
        _ = try await store.commit(
            ["a", "b"].map {
                .placeTombstone(
                    Tombstone(persistenceID: id($0), sequenceNumber: 1, erasedAt: Timestamp(unixNanoseconds: 1)))
            }, under: nil)
        try await check(
            store, EventReader(), [Seen("a", 1, "erased"), Seen("b", 1, "erased"), Seen("c", 1)])
    }

    @Test("is decrypted; of a destroyed key it is that it was erased", arguments: Place.allCases)
    func keys(_ place: Place) async throws {
        let folder = try StoreFolder()
        let store = try await place.newStore(folder)
        try await store.add([
            ("a", try newEvent("clear")), ("b", try encrypted("good", "secret")), ("c", try encrypted("gone", "lost")),
            ("a", try newEvent("clear too")),
        ])
        try await check(
            store, EventReader(decryptor: Keys()),
            [Seen("a", 1, "clear"), Seen("b", 1, "secret"), Seen("c", 1, "erased"), Seen("a", 2, "clear too")])
    }

    @Test("is never ciphertext: what cannot be decrypted stops it", arguments: [true, false])
    func wrongKey(_ hasDecryptor: Bool) async throws {
        let store = InMemoryStore()
        try await store.add([("a", try newEvent()), ("b", try encrypted("other", "x")), ("a", try newEvent())])
        let reader = EventReader(decryptor: hasDecryptor ? Keys() : nil)
        let stopped = try await runner(.readModel(SeenModel()), store, reader: reader).runUntilCaughtUp()
        guard case .failed(let failure) = stopped else { throw Late() }
        #expect(failure.persistenceID == id("b") && failure.message.contains("key other"))
        #expect(try await seen(in: store) == [Seen("a", 1)])
    }

    @Test("has passed the event adapters, in their order", arguments: Place.allCases)
    func adapters(_ place: Place) async throws {
        struct Appending: EventAdapter {
            let text: String
            struct Refused: Error {}

            func adapt(_ event: AnyPayload, at sequenceNumber: SequenceNumber) throws -> AnyPayload {
                guard event.typeName == Samplepb_AccountCredited.protoMessageName else { return event }
                var message = try Samplepb_AccountCredited(serializedBytes: event.value)
                if message.accountID == "refused" { throw Refused() }
                message.accountID += text
                return AnyPayload(typeURL: event.typeURL, value: try message.serializedBytes())
            }
        }
        let folder = try StoreFolder()
        let store = try await place.newStore(folder)
        try await store.add([
            ("a", try newEvent("x")), ("a", try newEvent("refused")), ("b", try encrypted("good", "y")),
        ])
        let reader = EventReader(adapters: [Appending(text: "1"), Appending(text: "2")], decryptor: Keys())
        try await check(
            store, reader, [Seen("a", 1, "x12"), Seen("b", 1, "y12")], ProjectionOptions(recovery: .skip))
        #expect(try await store.letters().map(\.projection) == ["p", "q"])
        #expect(try await store.letters().allSatisfy { $0.error.contains("an event adapter failed") })
    }

    @Test("carries the record's number, place, time, shard and metadata", arguments: Place.allCases)
    func record(_ place: Place) async throws {
        let folder = try StoreFolder()
        let store = try await place.newStore(folder)
        let metadata = EventMetadata(commandID: CommandID("c-1"), correlationID: "x", causationID: "y")
        _ = try await store.append(
            [
                AppendRequest(
                    persistenceID: id("a"), expectedVersion: .any,
                    events: [try newEvent(at: 5), try newEvent(at: 6)], metadata: metadata)
            ])
        let journal = try await store.whole()
        let recorder = Recorder(before: { event in
            let record = journal[Int(event.sequenceNumber.rawValue) - 1]
            #expect(event.persistenceID == record.persistenceID && event.offset == record.offset)
            #expect(event.timestamp == record.timestamp && event.shard == record.shard)
            #expect(event.metadata == metadata)
        })
        #expect(try await runner(.external(recorder), store).runUntilCaughtUp() == .caughtUp)
        #expect(recorder.seen.count == 2)
        let places = try await store.offsets(of: "p", version: 1)
        #expect(places.first { $0.shard == journal[0].shard }?.eventTimestamp == journal[1].timestamp)
    }
}
