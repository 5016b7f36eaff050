import Crypto
import Foundation
import Testing

@testable import EgoCore

@Suite("A master key")
struct MasterKeyTests {
    private let bytes = (0..<32).map { UInt8($0 * 7 + 3) }
    private let id = PersistenceID(stored: "acc-1")

    private var hex: String { Hexadecimal.text(bytes) }
    private var base64: String { Data(bytes).base64EncodedString() }

    @Test("is 64 hexadecimal digits, base64 or 32 bytes, with white space around a text")
    func forms() throws {
        let wanted = try MasterKey(bytes: bytes).fingerprint
        #expect(wanted.wholeMatch(of: /[0-9a-f]{16}/) != nil)
        for text in [
            hex, hex.uppercased(), "\(hex)\n", "  \(hex)\r\n\n", "\t\(hex) ", base64, "\(base64)\n", " \(base64)\r\n",
        ] {
            #expect(try MasterKey(content: Array(text.utf8)).fingerprint == wanted, "\(text)")
        }
        #expect(try MasterKey(content: bytes).fingerprint == wanted)
        #expect(MasterKey.random().fingerprint != MasterKey.random().fingerprint)
    }

    @Test("is nothing else, and what was given instead is not shown")
    func refusals() throws {
        var contents: [[UInt8]] = [
            [], Array(bytes.dropLast()), bytes + [0], bytes + bytes, Array(repeating: 0xff, count: 64),
        ]
        let (head, tail) = (String(hex.prefix(32)), String(hex.suffix(32)))
        let texts: [String] = [
            String(hex.dropLast()), String(hex.dropLast(2)), "\(hex)0", "\(hex)00", "0x\(hex)", "\(hex.dropLast())g",
            "\(head) \(tail)", "\(head)\n\(tail)", "key=\(hex)", "\(hex)\(hex)",
            Data(bytes.dropLast()).base64EncodedString(), Data(bytes + [0]).base64EncodedString(),
            String(base64.dropLast()), "\"\(hex)\"", String(repeating: "\u{ff11}", count: 64),
            "-----BEGIN PRIVATE KEY-----", " \n", String(repeating: "é", count: 32),
        ]
        contents += texts.map { Array($0.utf8) }
        for content in contents {
            let error = #expect(throws: InvalidKey.self, "\(content)") { try MasterKey(content: content) }
            let shown = String(describing: error)
            #expect(!shown.contains(hex.prefix(8)) && !shown.contains(base64.prefix(8)))
        }
        for count in [0, 16, 24, 31, 33, 64] {
            #expect(throws: InvalidKey.self) { try MasterKey(bytes: [UInt8](repeating: 1, count: count)) }
        }
    }

    @Test("shows its fingerprint and never itself")
    func description() throws {
        let key = try MasterKey(bytes: bytes)
        var dumped = ""
        dump(key, to: &dumped)
        for text in ["\(key)", String(reflecting: key), dumped, "\([key])", "\(Optional(key) as Any)"] {
            #expect(!text.contains(hex) && !text.contains(base64) && !text.contains("3, 10, 17"), "\(text)")
        }
        #expect("\(key)" == "master key \(key.fingerprint)")
        #expect(!hex.contains(key.fingerprint))
    }

    private func wrapped(_ key: SymmetricKey, by master: MasterKey) throws -> StoredKey {
        StoredKey(
            id: "k1", persistenceID: id, wrapped: try master.wrap(key, id: "k1", of: id),
            createdAt: Timestamp(unixNanoseconds: 1))
    }

    @Test("wraps a key for one ID and one entity")
    func binding() throws {
        let (master, key) = (MasterKey.random(), SymmetricKey(size: .bits256))
        let stored = try wrapped(key, by: master)
        #expect(master.unwrap(stored) == key)
        #expect(MasterKey.fingerprint(of: stored) == master.fingerprint)
        var other = stored
        other.id = "k2"
        #expect(master.unwrap(other) == nil)
        other = stored
        other.persistenceID = PersistenceID(stored: "acc-2")
        #expect(master.unwrap(other) == nil)
        #expect(MasterKey.random().unwrap(stored) == nil)
        // Another master key that claims the fingerprint.
        let impostor = MasterKey.random()
        other = try wrapped(key, by: impostor)
        other.wrapped.replaceSubrange(0..<9, with: stored.wrapped[0..<9])
        #expect(master.unwrap(other) == nil)
        #expect(try master.wrap(key, id: "k1", of: id) != stored.wrapped, "a nonce of its own each time")
    }

    @Test("does not unwrap what was altered or cut anywhere")
    func altered() throws {
        let master = MasterKey.random()
        let stored = try wrapped(SymmetricKey(size: .bits256), by: master)
        for index in stored.wrapped.indices {
            for bit in 0..<8 {
                var other = stored
                other.wrapped[index] ^= 1 << bit
                #expect(master.unwrap(other) == nil, "byte \(index), bit \(bit)")
            }
            var other = stored
            other.wrapped = Array(stored.wrapped[..<index])
            #expect(master.unwrap(other) == nil, "cut to \(index)")
            _ = MasterKey.fingerprint(of: other)
        }
        var longer = stored
        longer.wrapped.append(0)
        #expect(master.unwrap(longer) == nil)
    }

    @Test("wraps a key anew by another one, for the same ID and entity")
    func rewrapping() throws {
        let (old, new, key) = (MasterKey.random(), MasterKey.random(), SymmetricKey(size: .bits256))
        let stored = try wrapped(key, by: old)
        let other = try #require(try old.rewrapped(stored, by: new))
        #expect(new.unwrap(other) == key && old.unwrap(other) == nil)
        #expect((other.id, other.persistenceID, other.createdAt) == (stored.id, stored.persistenceID, stored.createdAt))
        #expect(try new.rewrapped(stored, by: old) == nil)
        var moved = stored
        moved.persistenceID = PersistenceID(stored: "acc-2")
        #expect(try old.rewrapped(moved, by: new) == nil)
    }
}
