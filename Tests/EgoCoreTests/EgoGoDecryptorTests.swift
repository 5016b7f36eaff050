import EgoTestKit
import Foundation
import Testing

@testable import EgoCore

@Suite("Records that eGo for Go has encrypted")
struct EgoGoDecryptorTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "../../Fixtures/ego-go")

    private struct Keys: Decodable {
        struct Key: Decodable {
            var key_id: String
            var key_hex: String
        }

        var keys: [Key]
    }

    private let keys: [String: [UInt8]]
    private let events: [PersistedEvent]

    init() throws {
        let list = try JSONDecoder().decode(
            Keys.self, from: Data(contentsOf: Self.folder.appending(path: "ego-v4-keys.json")))
        keys = Dictionary(uniqueKeysWithValues: list.keys.map { ($0.key_id, Self.bytes($0.key_hex)) })
        let dump = try String(contentsOf: Self.folder.appending(path: "ego-v4.sql"), encoding: .utf8)
        events = dump.split(separator: "\n").compactMap { line -> PersistedEvent? in
            guard line.hasPrefix("INSERT INTO public.events_store VALUES ('"), line.hasSuffix(", true);") else {
                return nil
            }
            let parts = line.split(separator: "'", omittingEmptySubsequences: false)
            guard parts.count == 9, let number = UInt64(parts[2].split(separator: ",")[0].drop { $0 == " " }) else {
                return nil
            }
            return PersistedEvent(
                persistenceID: PersistenceID(stored: String(parts[1])), sequenceNumber: SequenceNumber(number),
                timestamp: Timestamp(unixNanoseconds: 1), shard: Shard(0), manifest: String(parts[5]),
                payload: Self.bytes(parts[3].dropFirst(2)), encryptionKeyID: String(parts[7]), isEncrypted: true)
        }
    }

    private static func bytes(_ hex: some StringProtocol) -> [UInt8] {
        let digits = hex.utf8.map { UInt8(Character(UnicodeScalar($0)).hexDigitValue ?? 0) }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    private func reader(_ keys: [String: [UInt8]]) throws -> EventReader {
        let ring = KeyRing(store: InMemoryStore(), master: .random())
        return EventReader(decryptor: AESEncryptor(keys: ring, others: try EgoGoDecryptor(keys: keys)))
    }

    @Test("decrypt with its keys, beside keys of Ego's own, into the type that is named in the clear")
    func all() throws {
        #expect(events.count == 277)
        let reader = try reader(keys)
        for event in events {
            let clear = try reader.clear(event)
            #expect(clear.typeURL == (try AnyPayload(serialized: event.payload).typeURL))
            #expect(!clear.value.isEmpty)
        }
    }

    @Test("are refused when they are altered, cut, or read with another key, and told when the key is not there")
    func refused() throws {
        let event = try #require(events.first)
        let sealed = try AnyPayload(serialized: event.payload)
        let reader = try reader(keys)
        let refusal = PayloadError.undecryptable(keyID: event.encryptionKeyID)
        func reading(_ value: [UInt8]) -> PayloadError? {
            var event = event
            event.payload = AnyPayload(typeURL: sealed.typeURL, value: value).serialized()
            return failure { () throws(PayloadError) in try reader.clear(event) }
        }
        for index in sealed.value.indices {
            var value = sealed.value
            value[index] ^= 0x10
            #expect(reading(value) == refusal, "byte \(index)")
            #expect(reading(Array(sealed.value[..<index])) == refusal, "cut to \(index)")
        }
        let other = try #require(events.first { $0.encryptionKeyID != event.encryptionKeyID })
        var moved = event
        moved.payload = other.payload
        #expect(failure { () throws(PayloadError) in try reader.clear(moved) } == refusal)
        let keyless = try self.reader([:])
        #expect(
            failure { () throws(PayloadError) in try keyless.clear(event) }
                == .encrypted(keyID: event.encryptionKeyID))
    }

    @Test("take keys of 16, 24 and 32 bytes, and a refused one is named and not shown")
    func lengths() throws {
        for count in 0...40 {
            let key = [UInt8](repeating: 0xab, count: count)
            if [16, 24, 32].contains(count) {
                _ = try EgoGoDecryptor(keys: ["k-7": key])
            } else {
                let error = #expect(throws: InvalidKey.self) { try EgoGoDecryptor(keys: ["k-7": key]) }
                #expect(error?.id == "k-7" && !"\(String(describing: error))".contains("171"))
            }
        }
    }
}
