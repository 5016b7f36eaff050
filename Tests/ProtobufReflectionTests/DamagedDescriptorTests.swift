import EgoTestKit
import ProtobufReflection
import SwiftProtobuf
import Testing

@Suite("A damaged descriptor set is refused, or good for messages that are refused or read")
struct DamagedDescriptorTests {
    /// Damages a set many times; nil where the set is refused.
    private func damage(
        _ whole: [UInt8], count: Int, seed: UInt64, _ use: (DescriptorSet, inout SeededGenerator) throws -> Void
    ) throws -> (accepted: Int, refused: Int) {
        var random = SeededGenerator(seed: seed)
        var accepted = 0
        for _ in 0..<count {
            var bytes = whole
            for _ in 0..<Int.random(in: 1...4, using: &random) { random.change(&bytes) }
            let set: DescriptorSet
            do {
                let read: () throws -> DescriptorSet = { try DescriptorSet(serialized: bytes) }
                set = try read()
            } catch {
                try #require(error is DescriptorError, "seed \(seed), \(hex(bytes))")
                continue
            }
            accepted += 1
            try use(set, &random)
        }
        return (accepted, count - accepted)
    }

    /// Takes bytes through every form that a type of a damaged set has; what comes of it is not known.
    private func use(_ type: MessageDescriptor, _ random: inout SeededGenerator) {
        var texts = [
            "", "{}", #"{"id":"1","entries":{"a":{}},"picked":"b"}"#, #"id: 1 entries { key: "a" value { } }"#,
        ]
        for _ in 0..<3 {
            let bytes = random.bytes(0...30)
            guard let message = try? DynamicMessage(type, serialized: bytes) else { continue }
            _ = try? message.serialized()
            texts.append(message.text())
            if let json = try? message.json() { texts.append(json) }
        }
        for text in texts {
            if let message = try? DynamicMessage(type, json: text) {
                _ = try? message.serialized()
                _ = message.text()
            }
            if let message = try? DynamicMessage(type, text: text) {
                _ = try? message.serialized()
                _ = try? message.json()
            }
        }
    }

    @Test("a small one, thousands of times")
    func small() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        let outcome = try damage(BrokenSet.whole.serializedBytes(), count: 3_000, seed: seed) { set, random in
            for name in set.messageNames {
                use(try #require(set.message(named: name), "seed \(seed), \(name)"), &random)
            }
        }
        #expect(outcome.accepted > 5 && outcome.refused > 500, "seed \(seed), \(outcome)")
    }

    @Test("of other programs", arguments: ["samplepb.binpb", "egopb.binpb"])
    func others(_ name: String) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        let outcome = try damage(fixture(name), count: 500, seed: seed) { set, random in
            for name in set.messageNames.prefix(5) {
                use(try #require(set.message(named: name), "seed \(seed), \(name)"), &random)
            }
        }
        #expect(outcome.accepted > 0 && outcome.refused > 50, "seed \(seed), \(outcome)")
    }

    @Test("one with everything in it")
    func large() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        let whole = try fixture("reflection/reflection.binpb")
        let schema = try Schema(serialized: whole)
        _ = try damage(whole, count: 60, seed: seed) { set, random in
            for subject in Subject.everything {
                guard let type = set.message(named: subject.name) else { continue }
                var generator = WireGenerator(seed: random.next(), schema: schema, style: .wild)
                let bytes = generator.message(subject.name)
                guard let message = try? DynamicMessage(type, serialized: bytes) else { continue }
                _ = try? message.serialized()
                _ = message.text()
                _ = try? message.json()
            }
        }
    }

    @Test("of bytes of chance")
    func random() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededGenerator(seed: seed)
        for _ in 0..<2_000 {
            let content = random.bytes(0...60)
            let bytes = Bool.random(using: &random) ? content : WireWriter { $0.field(1, delimited: content) }.bytes
            do {
                let read: () throws -> DescriptorSet = { try DescriptorSet(serialized: bytes) }
                _ = try read().messageNames
            } catch {
                try #require(error is DescriptorError, "seed \(seed), \(hex(bytes))")
            }
        }
    }
}
