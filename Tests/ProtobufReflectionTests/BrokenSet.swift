import SwiftProtobuf
import Testing

/// A small descriptor set with one thing in it broken.
struct BrokenSet: Sendable, CustomTestStringConvertible {
    typealias File = Google_Protobuf_FileDescriptorProto
    typealias Message = Google_Protobuf_DescriptorProto
    typealias Field = Google_Protobuf_FieldDescriptorProto

    let testDescription: String
    let set: Google_Protobuf_FileDescriptorSet

    private init(_ description: String, _ damage: (inout Google_Protobuf_FileDescriptorSet) -> Void) {
        testDescription = description
        var set = Self.whole
        damage(&set)
        self.set = set
    }

    static func field(
        _ name: String, _ number: Int32, _ type: Field.TypeEnum, _ typeName: String = "", repeated: Bool = false
    ) -> Field {
        .with {
            $0.name = name
            $0.number = number
            $0.type = type
            $0.label = repeated ? .repeated : .optional
            if !typeName.isEmpty { $0.typeName = typeName }
        }
    }

    /// A set in which nothing is broken: a file that imports another, with a map, a oneof, an enum, a group, recursion
    /// and extensions.
    static let whole: Google_Protobuf_FileDescriptorSet = .with { set in
        let base = File.with { file in
            file.name = "base.proto"
            file.package = "base"
            file.syntax = "proto2"
            file.messageType = [
                .with {
                    $0.name = "Target"
                    $0.field = [field("number", 1, .int32)]
                    $0.extensionRange = [
                        .with {
                            $0.start = 100
                            $0.end = 200
                        }
                    ]
                }
            ]
            file.enumType = [
                .with {
                    $0.name = "Kind"
                    $0.value = [named("NONE", 0), named("SOME", 1)]
                }
            ]
        }
        let main = File.with { file in
            file.name = "main.proto"
            file.package = "main"
            file.syntax = "proto2"
            file.dependency = ["base.proto"]
            file.messageType = [outer]
            file.extension = [
                extending(".base.Target", field("added", 100, .string)),
                extending(".base.Target", field("kind", 101, .enum, ".base.Kind", repeated: true)),
                extending(".base.Target", field("outer", 102, .message, ".main.Outer")),
            ]
        }
        set.file = [base, main]
    }

    private static func named(_ name: String, _ number: Int32) -> Google_Protobuf_EnumValueDescriptorProto {
        .with {
            $0.name = name
            $0.number = number
        }
    }

    private static func extending(_ type: String, _ field: Field) -> Field {
        var field = field
        field.extendee = type
        return field
    }

    private static let outer = Message.with { message in
        message.name = "Outer"
        var picked = field("picked", 5, .string)
        picked.oneofIndex = 0
        message.field = [
            field("id", 1, .int64), field("target", 2, .message, ".base.Target"), field("kind", 3, .enum, ".base.Kind"),
            field("entries", 4, .message, ".main.Outer.EntriesEntry", repeated: true), picked,
            field("outer", 6, .message, ".main.Outer", repeated: true), field("part", 7, .group, ".main.Outer.Part"),
        ]
        message.oneofDecl = [.with { $0.name = "pick" }]
        message.nestedType = [
            .with {
                $0.name = "EntriesEntry"
                $0.field = [field("key", 1, .string), field("value", 2, .message, ".main.Outer")]
                $0.options.mapEntry = true
            },
            .with {
                $0.name = "Part"
                $0.field = [field("text", 1, .string)]
            },
        ]
    }

    static let all: [BrokenSet] = references + names + numbers + maps
}

extension BrokenSet {
    /// The file main.proto, its message Outer, and in it the fields.
    private static func main(_ description: String, _ damage: @escaping (inout File) -> Void) -> BrokenSet {
        BrokenSet(description) { damage(&$0.file[1]) }
    }

    private static func outer(_ description: String, _ damage: @escaping (inout Message) -> Void) -> BrokenSet {
        main(description) { damage(&$0.messageType[0]) }
    }

    fileprivate static let references = [
        BrokenSet("no file at all") { $0.file = [] },
        BrokenSet("an import that is missing") { $0.file.remove(at: 0) },
        BrokenSet("a file that imports itself") { $0.file[0].dependency = ["base.proto"] },
        BrokenSet("two files that import each other") { $0.file[0].dependency = ["main.proto"] },
        BrokenSet("three files that import each other in a circle") {
            $0.file[0].dependency = ["third.proto"]
            $0.file.append(
                .with {
                    $0.name = "third.proto"
                    $0.dependency = ["main.proto"]
                })
        },
        outer("a field of a message that is missing") { $0.field[1].typeName = ".base.Missing" },
        outer("a field of a package") { $0.field[1].typeName = ".base" },
        outer("a field of a field") { $0.field[1].typeName = ".main.Outer.id" },
        outer("a message field without a type name") { $0.field[1].clearTypeName() },
        outer("an enum where a message is said") { $0.field[1].typeName = ".base.Kind" },
        outer("a message where an enum is said") { $0.field[2].typeName = ".base.Target" },
        outer("an enum field of an enum that is missing") { $0.field[2].typeName = ".base.Missing" },
        outer("a group of a type that is missing") { $0.field[6].typeName = ".main.Outer.Missing" },
        outer("a group of an enum") { $0.field[6].typeName = ".base.Kind" },
        main("an extension of a message that is missing") { $0.extension[0].extendee = ".base.Missing" },
        main("an extension of an enum") { $0.extension[0].extendee = ".base.Kind" },
        main("an extension of a type that is missing") { $0.extension[2].typeName = ".main.Missing" },
        outer("an extension within a message of one that is missing") {
            $0.extension = [extending(".nowhere.Missing", field("lost", 100, .int32))]
        },
    ]

    fileprivate static let names = [
        BrokenSet("two files of one name with different content") { $0.file[1].name = "base.proto" },
        main("two messages of one name in a file") { $0.messageType.append(.with { $0.name = "Outer" }) },
        outer("two messages of one name in a message") { $0.nestedType.append(.with { $0.name = "Part" }) },
        BrokenSet("two messages of one name in two files") {
            $0.file[0].package = "main"
            $0.file[0].messageType.append(.with { $0.name = "Outer" })
        },
        BrokenSet("a message and an enum of one name") {
            $0.file[0].messageType.append(.with { $0.name = "Kind" })
        },
        outer("two fields of one name") { $0.field[0].name = "target" },
        main("two extensions of one name") { $0.extension[1].name = "added" },
        main("a message without a name") { $0.messageType.append(Message()) },
        outer("a field without a name") { $0.field[0].clearName() },
    ]

    fileprivate static let numbers = [
        outer("two fields of one number") { $0.field[0].number = 2 },
        outer("a field number of 0") { $0.field[0].number = 0 },
        outer("a negative field number") { $0.field[0].number = -1 },
        outer("a field number too large") { $0.field[0].number = 536_870_912 },
        main("two extensions of one number") { $0.extension[1].number = 100 },
        outer("a oneof index beyond the oneofs") { $0.field[4].oneofIndex = 1 },
        outer("a negative oneof index") { $0.field[4].oneofIndex = -1 },
        BrokenSet("an enum without values") { $0.file[0].enumType[0].value = [] },
    ]

    fileprivate static let maps = [
        outer("a map entry without a key") { $0.nestedType[0].field.remove(at: 0) },
        outer("a map entry without a value") { $0.nestedType[0].field.remove(at: 1) },
        outer("a map entry without fields") { $0.nestedType[0].field = [] },
        outer("a map keyed by a message") { $0.nestedType[0].field[0] = field("key", 1, .message, ".main.Outer") },
        outer("a map keyed by a floating-point number") { $0.nestedType[0].field[0].type = .double },
        outer("a map keyed by bytes") { $0.nestedType[0].field[0].type = .bytes },
        outer("a map with values of a type that is missing") { $0.nestedType[0].field[1].typeName = ".main.Missing" },
        outer("a map whose key is a list") { $0.nestedType[0].field[0].label = .repeated },
    ]
}
