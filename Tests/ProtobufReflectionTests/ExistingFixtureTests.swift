import EgoTestKit
import ProtobufReflection
import SwiftProtobuf
import Testing

@Suite("Descriptor sets and messages of other programs are read")
struct ExistingFixtureTests {
    @Test("the sample bank's set names its messages")
    func sampleNames() throws {
        let set = try DescriptorSet(serialized: fixture("samplepb.binpb"))
        #expect(set.messageNames == set.messageNames.sorted())
        #expect(set.messageNames.contains("samplepb.Account") && set.messageNames.contains("samplepb.TransferState"))
        #expect(set.message(named: "samplepb.Missing") == nil)
        #expect(set.message(named: "") == nil)
        #expect(set.message(named: ".samplepb.Account") == nil)
    }

    @Test("the sample bank's messages are as generated code has them", arguments: Subject.sample)
    func sample(_ subject: Subject) throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        let described = try DescribedFixture("samplepb.binpb")
        let twin = try described.twin(subject)
        var generator = WireGenerator(seed: seed, schema: described.schema, style: .wild)
        for _ in 0..<100 {
            let bytes = generator.message(subject.name)
            let expected = twin.generatedOutcome(wire: bytes)
            try #require(twin.describedOutcome(wire: bytes) == expected, "seed \(seed), \(hex(bytes))")
            guard let json = twin.generatedJSON(wire: bytes).value else { continue }
            let found = try #require(twin.describedJSON(wire: bytes).value, "seed \(seed), \(hex(bytes))")
            try #require(try JSONTree(found) == JSONTree(json), "seed \(seed), \(hex(bytes))")
        }
    }

    @Test(
        "the wire files come out as they went in",
        arguments: [
            ("event-v4-plain", "egopb.Event"), ("event-v4-encrypted", "egopb.Event"),
            ("snapshot", "egopb.Snapshot"), ("snapshot-encrypted", "egopb.Snapshot"),
            ("durablestate", "egopb.DurableState"), ("offset", "egopb.Offset"),
        ])
    func wireFiles(_ name: String, _ type: String) throws {
        let set = try DescriptorSet(serialized: fixture("egopb.binpb"))
        let bytes = try fixture("wire/\(name).binpb")
        let message = try DynamicMessage(try #require(set.message(named: type)), serialized: bytes)
        #expect(try message.serialized() == bytes)
        #expect(!message.text().isEmpty)
    }

    @Test("the inline state of an old event is an unknown field, which stands last")
    func oldEvent() throws {
        let set = try DescriptorSet(serialized: fixture("egopb.binpb"))
        let bytes = try fixture("wire/event-v3.binpb")
        let message = try DynamicMessage(try #require(set.message(named: "egopb.Event")), serialized: bytes)
        let before = try #require(WireReader.fields(bytes[...]))
        let after = try #require(WireReader.fields(message.serialized()[...]))
        #expect(after.last?.number == 5)
        #expect(after.last?.content == before.first { $0.number == 5 }?.content)
        #expect(after.dropLast().map(\.number) == before.map(\.number).filter { $0 != 5 })
    }

    @Test("what is in an Any shows when its type is in the set, and is an error in JSON when it is not")
    func contents() throws {
        let bytes = try fixture("wire/event-v4-plain.binpb")
        let alone = try DescriptorSet(serialized: fixture("egopb.binpb"))
        let event = try DynamicMessage(try #require(alone.message(named: "egopb.Event")), serialized: bytes)
        #expect(throws: ReflectionError.self) { try event.json() }
        #expect(event.text().contains("type_url: \"type.googleapis.com/samplepb.AccountCredited\""))

        // Two sets in one: descriptor sets are lists of files.
        let both = try DescriptorSet(serialized: fixture("egopb.binpb") + fixture("samplepb.binpb"))
        let type = try #require(both.message(named: "egopb.Event"))
        let known = try DynamicMessage(type, serialized: bytes)
        guard case .object(let members) = try JSONTree(known.json()), case .object(let payload) = members["event"]
        else {
            Issue.record("no event in \(try known.json())")
            return
        }
        #expect(payload["@type"] == .string("type.googleapis.com/samplepb.AccountCredited"))
        #expect(payload["accountId"] == .string("branch-3-04"))
        #expect(payload["accountBalance"] == .number("610.87"))
        #expect(known.text().contains("[type.googleapis.com/samplepb.AccountCredited]"))
        #expect(try DynamicMessage(type, json: known.json()).serialized() == bytes)
        #expect(try DynamicMessage(type, text: known.text()).serialized() == bytes)
    }

    @Test("map entries are no messages of their own")
    func mapEntries() throws {
        let fixture = try DescribedFixture.reflection()
        #expect(fixture.set.messageNames.contains("reflection.closed.Groups.ManyTimes"))
        #expect(!fixture.set.messageNames.contains { $0.hasSuffix("Entry") })
        let expected = fixture.schema.messages.filter { !$0.value.isMapEntry }.keys.sorted()
        #expect(fixture.set.messageNames == expected)
    }
}
