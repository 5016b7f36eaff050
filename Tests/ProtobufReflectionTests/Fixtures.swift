import Foundation
import ProtobufReflection
import Testing

/// The folder of fixtures at the top of the package.
private let fixtures = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Fixtures")

func fixture(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: fixtures.appending(path: name)))
}

/// A descriptor set of the fixtures, and what the tests read in it on their own.
struct DescribedFixture: Sendable {
    let set: DescriptorSet
    let schema: Schema

    private static let read = Result { try Self() }

    /// The messages of Fixtures/reflection; read once.
    static func reflection() throws -> Self { try read.get() }

    init(_ name: String = "reflection/reflection.binpb") throws {
        let bytes = try fixture(name)
        set = try DescriptorSet(serialized: bytes)
        schema = try Schema(serialized: bytes)
    }

    func twin(_ subject: Subject) throws -> Twin {
        Twin(generated: subject.type, described: try #require(set.message(named: subject.name)))
    }
}

/// Wire bytes as a failed test shows them.
func hex(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef")
    return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
}
