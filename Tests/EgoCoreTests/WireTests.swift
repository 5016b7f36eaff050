import BankDomain
import EgoCore
import Foundation
import SwiftProtobuf
import Testing

/// The folder of fixtures at the top of the package.
let fixtures = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Fixtures")

func fixture(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: fixtures.appending(path: name)))
}

func bytes(hex: String) -> [UInt8] {
    stride(from: 0, to: hex.count, by: 2).compactMap { index in
        let start = hex.index(hex.startIndex, offsetBy: index)
        return UInt8(hex[start..<hex.index(start, offsetBy: 2)], radix: 16)
    }
}

@Suite("Bytes of eGo for Go decode to what its README says")
struct WireTests {
    @Test("a plain event of v4")
    func plainEvent() throws {
        let stored = try fixture("wire/event-v4-plain.binpb")
        let event = try EgoWire.event(stored)
        #expect(event.persistenceID.rawValue == "branch-3-04")
        #expect(event.sequenceNumber == 3)
        #expect(event.shard == Shard(3))
        #expect(event.timestamp.unixNanoseconds == 1_791_238_227_465_667_113)
        #expect(!event.isEncrypted && !event.isDeleted && event.encryptionKeyID.isEmpty)
        #expect(event.unknownFields.isEmpty)
        let payload = try AnyPayload(serialized: event.payload)
        #expect(payload.typeURL == "type.googleapis.com/samplepb.AccountCredited")
        #expect(payload.value == bytes(hex: "0a0b6272616e63682d332d303411295c8fc2f5168340"))
        let message = try Samplepb_AccountCredited(serializedBytes: payload.value)
        #expect(message.accountID == "branch-3-04" && message.accountBalance == 610.87)
        #expect(EgoWire.bytes(event) == stored)
    }

    @Test("an encrypted event of v4")
    func encryptedEvent() throws {
        let stored = try fixture("wire/event-v4-encrypted.binpb")
        let event = try EgoWire.event(stored)
        #expect(event.persistenceID.rawValue == "vault-01" && event.sequenceNumber == 3 && event.shard == Shard(0))
        #expect(event.isEncrypted && event.encryptionKeyID == "key-003-0b03a4a8")
        #expect(event.timestamp.unixNanoseconds == 1_795_404_605_851_735_368)
        let payload = try AnyPayload(serialized: event.payload)
        #expect(payload.typeName == "samplepb.AccountCredited")
        #expect(payload.value.count == 95)
        #expect(EgoWire.bytes(event) == stored)
        #expect(throws: PayloadError.encrypted(keyID: "key-003-0b03a4a8")) {
            _ = try EventReader().payload(of: event)
        }
    }

    @Test("an event of v3 with its inline state in unknown field 5")
    func legacyEvent() throws {
        let stored = try fixture("wire/event-v3.binpb")
        let event = try EgoWire.event(stored)
        #expect(event.persistenceID.rawValue == "acc-02" && event.sequenceNumber == 7 && event.shard == Shard(0))
        #expect(event.timestamp == Timestamp(unixNanoseconds: 1_795_404_829_000_000_000))
        let credited = try Samplepb_AccountCredited(serializedBytes: AnyPayload(serialized: event.payload).value)
        #expect(credited.accountID == "acc-02" && credited.accountBalance == -225.36)
        let state = try #require(try event.inlineState())
        #expect(state.typeURL == "type.googleapis.com/samplepb.Account")
        #expect(state.value == bytes(hex: "0a066163632d3032119899999999119640"))
        let account = try Samplepb_Account(serializedBytes: state.value)
        #expect(account.accountBalance == 1412.3999999999996)
        // Field 5 survives a round trip.
        #expect(try EgoWire.event(EgoWire.bytes(event)) == event)
        #expect(PersistedEvent.unknownFields(inlineState: state) == event.unknownFields)
    }

    @Test("snapshots, plain and encrypted")
    func snapshots() throws {
        let stored = try fixture("wire/snapshot.binpb")
        let snapshot = try EgoWire.snapshot(stored)
        #expect(snapshot.persistenceID.rawValue == "1d441a12-358f-4e7d-b212-80aeb42ef758")
        #expect(snapshot.sequenceNumber == 20)
        #expect(snapshot.timestamp.unixNanoseconds == 1_795_404_606_653_864_547)
        let account = try Samplepb_Account(serializedBytes: AnyPayload(serialized: snapshot.payload).value)
        #expect(account.accountBalance == 1272.81)
        #expect(EgoWire.bytes(snapshot) == stored)

        let sealed = try fixture("wire/snapshot-encrypted.binpb")
        let encrypted = try EgoWire.snapshot(sealed)
        #expect(encrypted.isEncrypted && encrypted.encryptionKeyID == "key-003-0b03a4a8")
        #expect(encrypted.sequenceNumber == 30)
        #expect(EgoWire.bytes(encrypted) == sealed)
    }

    @Test("a durable state")
    func durableState() throws {
        let stored = try fixture("wire/durablestate.binpb")
        let state = try EgoWire.durableState(stored)
        #expect(state.persistenceID.rawValue == "wallet-01" && state.version == 15 && state.shard == Shard(0))
        #expect(state.timestamp.unixNanoseconds == 1_795_404_606_899_590_275)
        let account = try Samplepb_Account(serializedBytes: AnyPayload(serialized: state.payload).value)
        #expect(account.accountBalance == 3119.790000000001)
        #expect(EgoWire.bytes(state) == stored)
    }

    @Test("an offset")
    func offset() throws {
        let offset = try EgoWire.offset(fixture("wire/offset.binpb"))
        #expect(offset.projection == "account-audit" && offset.shard == Shard(3))
        #expect(offset.value == 1_791_357_495_766_313_663 && offset.unixMilliseconds == 1_795_404_606_009)
    }

    @Test("whatever is cut off or flipped is an error or another message, never a crash")
    func damaged() throws {
        for name in ["event-v4-plain", "event-v4-encrypted", "event-v3"] {
            let whole = try fixture("wire/\(name).binpb")
            for count in 0..<whole.count { _ = try? EgoWire.event(Array(whole.prefix(count))) }
            for index in whole.indices {
                for bit in 0..<8 {
                    var damaged = whole
                    damaged[index] ^= 1 << bit
                    if let event = try? EgoWire.event(damaged) {
                        _ = try? event.inlineState()
                        _ = try? AnyPayload(serialized: event.payload)
                    }
                }
            }
            #expect(throws: PayloadError.malformed) { _ = try EgoWire.event(whole.dropLast()) }
        }
    }
}

@Suite("Identities")
struct IdentityTests {
    @Test("shards are those of a cluster of eGo for Go")
    func shards() throws {
        struct Vectors: Decodable {
            struct Vector: Decodable {
                var persistence_id: String
                var mod_271: UInt64
            }
            var vectors: [Vector]
        }
        let vectors = try JSONDecoder().decode(Vectors.self, from: Data(fixture("partition-vectors.json"))).vectors
        #expect(vectors.count == 60)
        for vector in vectors {
            #expect(Shard(of: try PersistenceID(vector.persistence_id), count: 271).rawValue == vector.mod_271)
        }
    }

    @Test("the hash is XXH3-64 at every length")
    func hash() throws {
        let vectors = try JSONDecoder().decode([String: UInt64].self, from: Data(fixture("xxh3-vectors.json")))
        #expect(vectors.count == 255)
        for (length, wanted) in vectors {
            let count = try #require(Int(length))
            let id = try PersistenceID(String((0..<count).map { Character(UnicodeScalar(UInt8(33 + $0 % 90))) }))
            #expect(Shard(of: id, count: .max).rawValue == wanted % UInt64(UInt32.max))
        }
    }

    @Test("a persistence ID is checked")
    func persistenceID() throws {
        #expect(throws: InvalidPersistenceID(reason: .empty)) { _ = try PersistenceID("") }
        #expect(throws: InvalidPersistenceID(reason: .tooLong(scalars: 10_240))) {
            _ = try PersistenceID(String(repeating: "x", count: 10_240))
        }
        #expect(throws: InvalidPersistenceID(reason: .containsNull)) { _ = try PersistenceID("a\0b") }
        #expect(try PersistenceID(String(repeating: "👩", count: 255)).rawValue.count == 255)
        #expect(try PersistenceID("caf\u{e9}") != PersistenceID("cafe\u{301}"))
        #expect(try Set([PersistenceID("caf\u{e9}"), PersistenceID("cafe\u{301}")]).count == 2)
    }

    @Test("stored timestamps tell their unit by magnitude")
    func timestamps() {
        #expect(Timestamp(stored: 1_795_404_829).unixNanoseconds == 1_795_404_829_000_000_000)
        #expect(Timestamp(stored: 1_795_404_829_123).unixNanoseconds == 1_795_404_829_123_000_000)
        #expect(Timestamp(stored: 1_795_404_829_123_456_789).unixNanoseconds == 1_795_404_829_123_456_789)
        #expect(Timestamp(stored: 0).unixNanoseconds == 0)
        #expect(Timestamp(unixNanoseconds: .max).advanced(by: .seconds(1)).unixNanoseconds == .max)
    }

    @Test("offsets have a text form", arguments: ["0", "17", "9:17"])
    func offsets(_ text: String) throws {
        #expect(try #require(Offset(text)).description == text)
    }

    @Test("what is no offset is refused", arguments: ["", "x", "-1", "1:", ":1", "1:2:3", "99999999999999999999"])
    func badOffsets(_ text: String) {
        #expect(Offset(text) == nil)
    }
}

@Suite("The audit chain")
struct AuditTests {
    @Test("an edited record is noticed")
    func edited() {
        let entry = AuditEntry(
            timestamp: Timestamp(unixNanoseconds: 1), actor: "a", action: "erase", arguments: "{}", reason: "r",
            result: "")
        var record = AuditRecord(number: 1, entry: entry, previousHash: AuditRecord.firstPreviousHash)
        #expect(record.isIntact && record.hash.count == 64)
        record.entry.actor = "b"
        #expect(!record.isIntact)
    }
}

@Suite("A message is packed into one buffer")
struct PackingTests {
    @Test("as an Any of its type's URL and its bytes, of any size")
    func sizes() throws {
        for size in [0, 1, 2, 100, 126, 127, 128, 129, 16_383, 16_384, 70_000] {
            let message = Google_Protobuf_BytesValue(Data(repeating: 7, count: size))
            let value: [UInt8] = try message.serializedBytes()
            let wanted = AnyPayload(typeURL: "type.googleapis.com/google.protobuf.BytesValue", value: value)
            #expect(try AnyPayload.serialized(packing: message) == wanted.serialized())
            #expect(try AnyPayload(serialized: AnyPayload.serialized(packing: message)) == wanted)
            let any = try Google_Protobuf_Any(message: message)
            #expect(try AnyPayload.serialized(packing: message) == any.serializedBytes())
        }
    }

    @Test("whose required fields have to be there")
    func required() throws {
        // The name part of an uninterpreted option is required, in proto2.
        let message = Google_Protobuf_UninterpretedOption.NamePart()
        #expect(throws: BinaryEncodingError.self) { try AnyPayload.serialized(packing: message) }
    }

    @Test("also as the case of a union")
    func union() throws {
        let event = AccountBehavior.Event.credited(
            .with {
                $0.accountID = "acc-1"
                $0.accountBalance = 1.5
            })
        #expect(
            try event.serializedAny() == AnyPayload(packing: event.message).serialized())
    }
}
