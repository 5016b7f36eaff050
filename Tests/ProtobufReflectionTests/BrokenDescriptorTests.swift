import EgoTestKit
import ProtobufReflection
import SwiftProtobuf
import Testing

@Suite("A descriptor set that is broken is an error")
struct BrokenDescriptorTests {
    private func isRefused(_ bytes: [UInt8]) -> Bool {
        do {
            let read: () throws -> DescriptorSet = { try DescriptorSet(serialized: bytes) }
            _ = try read()
            return false
        } catch {
            return error is DescriptorError
        }
    }

    @Test("for whatever is broken", arguments: BrokenSet.all)
    func broken(_ broken: BrokenSet) throws { #expect(isRefused(try broken.set.serializedBytes())) }

    @Test("but not while nothing is")
    func whole() throws {
        let set = try DescriptorSet(serialized: BrokenSet.whole.serializedBytes())
        #expect(set.messageNames == ["base.Target", "main.Outer", "main.Outer.Part"])
    }

    @Test("for bytes that are no descriptor set")
    func noSet() {
        for bytes: [UInt8] in [[], [0x00], [0x0a], [0x0a, 0x05], [0x0a, 0x01, 0xff], [0x0a, 0x02, 0x0a, 0x05]] {
            #expect(isRefused(bytes), "\(hex(bytes))")
        }
        #expect(isRefused(Array("not a descriptor set".utf8)))
    }

    @Test("cut off anywhere but between its files", arguments: ["samplepb.binpb", "egopb.binpb"])
    func truncated(_ name: String) throws {
        let bytes = try fixture(name)
        let files = try #require(WireReader.fields(bytes[...]))
        var ends: Set<Int> = []
        for file in files { ends.insert(file.content.endIndex) }
        for count in 0..<bytes.count where !ends.contains(count) {
            try #require(isRefused(Array(bytes.prefix(count))), "\(count) bytes of \(name)")
        }
    }

    @Test("nested far too deep", arguments: [200, 10_000])
    func nested(_ depth: Int) {
        // Fields 4 of a file and 3 of a message hold messages; written from the inside, backwards.
        var reversed: [UInt8] = []
        for number in [Int32](repeating: 3, count: depth) + [4, 1] {
            let head = WireWriter {
                $0.tag(number, .delimited)
                $0.varint(UInt64(reversed.count))
            }
            reversed += head.bytes.reversed()
        }
        #expect(isRefused(reversed.reversed()))
    }

    @Test("or read to the end where files import each other in a long chain", arguments: [10, 1_000])
    func chain(_ count: Int) throws {
        var set = Google_Protobuf_FileDescriptorSet()
        for index in 0..<count {
            set.file.append(
                .with {
                    $0.name = "\(index).proto"
                    $0.package = "chain"
                    $0.dependency = index + 1 < count ? ["\(index + 1).proto"] : []
                    $0.messageType = [
                        .with {
                            $0.name = "Link\(index)"
                            $0.field = [BrokenSet.field("own", 1, .message, ".chain.Link\(index)")]
                        }
                    ]
                })
        }
        #expect(try DescriptorSet(serialized: set.serializedBytes()).messageNames.count == count)
        set.file[count - 1].dependency = ["0.proto"]
        #expect(isRefused(try set.serializedBytes()))
    }

    @Test("and a message that requires itself is never complete, nor looked for without an end")
    func requiresItself() throws {
        var broken = BrokenSet.whole
        broken.file[1].messageType[0].field[5].label = .required
        let set = try DescriptorSet(serialized: broken.serializedBytes())
        let type = try #require(set.message(named: "main.Outer"))
        #expect(throws: ReflectionError.self) { try DynamicMessage(type, serialized: []) }
        #expect(throws: ReflectionError.self) { try DynamicMessage(type, serialized: [0x32, 0x02, 0x32, 0x00]) }
        #expect(try DynamicMessage(type, json: "{}").json() == "{}")
    }
}
