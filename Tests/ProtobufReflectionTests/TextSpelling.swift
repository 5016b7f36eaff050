import SwiftProtobuf
import Testing

/// Text format that can be read in more ways than one, and whether generated code reads it.
struct TextSpelling: Sendable, CustomTestStringConvertible {
    let type: any Message.Type
    let text: String
    var isAccepted = true

    var testDescription: String { text }

    private static func accepted(_ type: any Message.Type, _ texts: [String]) -> [TextSpelling] {
        texts.map { TextSpelling(type: type, text: $0) }
    }

    private static func refused(_ type: any Message.Type, _ texts: [String]) -> [TextSpelling] {
        texts.map { TextSpelling(type: type, text: $0, isAccepted: false) }
    }

    static let all =
        accepted(Reflection_Open_Names.self, names) + refused(Reflection_Open_Names.self, badNames)
        + accepted(Reflection_Open_Scalars.self, scalars) + refused(Reflection_Open_Scalars.self, badScalars)
        + accepted(Reflection_Open_Lists.self, lists) + refused(Reflection_Open_Lists.self, badLists)
        + accepted(Reflection_Open_Maps.self, maps) + refused(Reflection_Open_Maps.self, badMaps)
        + accepted(Reflection_Open_Choice.self, ["leaf {}", "int32_value: 0", "first {} leaf {}"])
        + refused(Reflection_Open_Choice.self, ["int32_value: 1 string_value: 'a'", "int32_value: 1 int32_value: 2"])
        + accepted(Reflection_Open_Holder.self, anys) + refused(Reflection_Open_Holder.self, badAnys)
        + accepted(Reflection_Closed_Groups.self, ["Single { number: 1 }", "single <>", "ManyTimes {} manytimes {}"])
        + refused(Reflection_Closed_Groups.self, ["SINGLE {}", "many_times {}"])
        + accepted(Reflection_Closed_Extensible.self, extensions)
        + refused(Reflection_Closed_Extensible.self, badExtensions)
        + accepted(Reflection_Closed_Scalars.self, ["suit: SPADES", "suit: -2", "mood: 77", "float_value: nan"])
        + refused(Reflection_Closed_Scalars.self, ["suit: 77", "suit: NONE", "suit: 'SPADES'", "mood: 2147483648"])
        + refused(Reflection_Closed_Required.self, ["", "id: 1", "id: 1 name: 'a' next {}"])
        + accepted(Reflection_Closed_Required.self, ["id: 0 name: ''"])
        + accepted(Reflection_Closed_Reserved.self, ["gone: 5 kept: 1", "7: { a: 1 } kept: 2", "removed <> 20: 'x'"])
        + refused(Reflection_Closed_Reserved.self, ["lost: 5", "10: 5", "gone", "gone: [[1]]"])

    private static let names = [
        "", " \n\t# only a comment", "plain: 1", "plain:1,in:2;CamelName:3", "plain: 1 # comment\nin: 2", "1: 5",
        "plain: 1 plain: 2", "sub_message { size: 1 }", "sub_message: < size: 1 >", "sub_message { } sub_message {}",
        "trailing_: 1 two__underscores: 2 with_1_digit: 3 renamed: 4 kept_default: 0", "10 { 1: 2 }", "gone: 1",
        "map_field { key: 'a' value: 1 } map_field: [{ key: 'b' value: 2 }, < 1: 'c' 2: 3 >]", "40: 'reserved'",
    ]
    private static let badNames = [
        "plain", "plain 1", "plain:", "plain: 1,,", ",plain: 1", "snakeCaseName: 1", "unknown: 1", "900: 1", "0: 1",
        "01: 1", "sub_message { size: 1", "sub_message { size: 1 >", "sub_message: 1", "sub_message", "}", "plain: [1]",
        "plain: { }", "[plain]: 1", "_plain: 1", "1234567890: 1", "plain: 1 }", "plain: 1 \u{0}", "'plain': 1",
    ]
    private static let scalars = [
        "int32_value: -5", "int32_value: 0x1F", "int32_value: 017", "int64_value: -9223372036854775808",
        "uint64_value: 18446744073709551615", "double_value: 1", "double_value: 1.5f", "double_value: .5",
        "double_value: 1e400", "double_value: -inf", "float_value: Infinity", "float_value: -nan", "float_value: 1e39",
        "bool_value: true", "bool_value: t", "bool_value: True", "bool_value: 1", "bool_value: F", "mood: HAPPY",
        "mood: -1", "mood: 1234", "string_value: 'a' \"b\" 'c'", #"string_value: "\x41\101\n\u00e9\U0001F600\?""#,
        #"bytes_value: "\377\xff\0""#, "string_value: \"it's\"", "leaf { color: 'a' }", "double_value: -0.0",
        "bytes_value: 'né'", "int32_value: -0", "536870911: 'a'",
    ]
    private static let badScalars = [
        "int32_value: 2147483648", "int32_value: 1.5", "uint32_value: -1", "int32_value: +1",
        "int64_value: 9223372036854775808", "uint64_value: 18446744073709551616", "int32_value: '1'", "int32_value: a",
        "double_value: 01", "double_value: 1..5", "double_value: '1'", "bool_value: 2", "bool_value: yes",
        "bool_value: tru", "bool_value: TRUE", "mood: happy", "mood: 1.5", "mood: 2147483648", "string_value: a",
        "string_value: 'a", "string_value: 'a\nb'", #"string_value: "\q""#, #"string_value: "\xff""#,
        #"string_value: "\u00""#, #"bytes_value: "\400""#, #"bytes_value: "\X41""#, #"bytes_value: "\"#, "leaf: 'a'",
        "536870912: 'a'",
    ]
    private static let lists = [
        "int32s: 1 int32s: 2", "int32s: [1, 2, 3]", "int32s: []", "strings: ['a' 'b', \"c\"]", "leaves {} leaves {}",
        "leaves: [{ size: 1 }, <>]", "moods: [CALM, -1, SAD]", "doubles: [1, nan, -inf]", "loose_int32s: [1, 2]",
        "leaves [{}]", "int32s: [1] int32s: 2;",
    ]
    private static let badLists = [
        "int32s: [1, 2", "int32s: [1,]", "int32s: [,]", "int32s: [1 2]", "int32s: [[1]]", "int32s [1]", "leaves: [1]",
        "strings: [a]", "moods: [NONE]",
    ]
    private static let maps = [
        "by_int32 { key: 1 value: 2 }", "by_int32 { value: 2 key: 1 }", "by_int32 { 1: 1, 2: 2 }",
        "by_int32 { key: 1 value: 2 } by_int32 { key: 1 value: 3 }", "by_bool: [{ key: true value: 'a' }]",
        "leaves { key: 'a' value { size: 1 } }", "by_string { key: '' value: SAD }", "nested { key: false value {} }",
    ]
    private static let badMaps = [
        "by_int32 { key: 1 }", "by_int32 { value: 1 }", "by_int32 {}", "by_int32: 1", "by_int32 { key: 'a' value: 1 }",
        "by_int32 { key: 1 value: 2 other: 3 }", "by_int32 [{ key: 1 value: 2 }", "leaves { key: 'a' value: 1 }",
    ]
    private static let anys = [
        "any { [type.googleapis.com/reflection.open.Leaf] { size: 1 } }", "any {}",
        "any { type_url: 'x/reflection.open.Leaf' value: '\\010\\001' }", "any { type_url: 'nowhere' }",
        "any { [a/google.protobuf.Any] { [b/reflection.open.Leaf] < color: 'a' > } }",
        "anys: [{ [a/google.protobuf.Duration] { seconds: 1 } }]",
        "any { [ type.googleapis.com / reflection.open.Leaf ] { } }", "any { [a/reflection.closed.Required] {} }",
        "picked { [a/reflection.closed.Groups] { Single {} } }",
        "any { [a/reflection.open.Leaf] { size: 1 } } any { [a/reflection.open.Leaf] { color: 'a' } }",
    ]
    private static let badAnys = [
        "any { [type.googleapis.com/nowhere.Missing] { } }", "any { [a/reflection.open.Leaf] { sise: 1 } }",
        "any { [a/reflection.open.Leaf] { } type_url: 'a' }", "any { [a/reflection.open.Leaf] }", "any { [] {} }",
        "any { [a/reflection.open.Leaf { } }", "any { [a/reflection.open.Leaf] { } [a/reflection.open.Leaf] { } }",
    ]
    private static let extensions = [
        "[reflection.closed.int32_extension]: 1", "[ reflection.closed.int32_extension ] : 1",
        "before: 1 [reflection.closed.Scope.scoped] { name: 'a' }",
        "[reflection.closed.packed_suits_extension]: [CLUBS, 1]", "[reflection.closed.groupextension] { number: 1 }",
        "[reflection.closed.self_extension] { [reflection.closed.bool_extension]: true }",
    ]
    private static let badExtensions = [
        "reflection.closed.int32_extension: 1", "[int32_extension]: 1", "[reflection.closed.missing]: 1", "102: 1",
        "[reflection.closed.int32_extension: 1", "[reflection.closed.suit_extension]: 9", "[]: 1",
    ]
}
