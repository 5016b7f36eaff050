import SwiftProtobuf
import Testing

/// JSON that can be read in more ways than one, and whether generated code reads it.
struct JSONSpelling: Sendable, CustomTestStringConvertible {
    let type: any Message.Type
    let json: String
    var isAccepted = true

    var testDescription: String { json }

    private static func accepted(_ type: any Message.Type, _ texts: [String]) -> [JSONSpelling] {
        texts.map { JSONSpelling(type: type, json: $0) }
    }

    private static func refused(_ type: any Message.Type, _ texts: [String]) -> [JSONSpelling] {
        texts.map { JSONSpelling(type: type, json: $0, isAccepted: false) }
    }

    static let all =
        accepted(Reflection_Open_Names.self, names) + refused(Reflection_Open_Names.self, badNames)
        + accepted(Reflection_Open_Scalars.self, scalars) + refused(Reflection_Open_Scalars.self, badScalars)
        + accepted(Reflection_Open_Lists.self, ["{}", #"{"int32s":[]}"#, #"{"int32s":null,"leaves":[{}]}"#])
        + refused(Reflection_Open_Lists.self, badLists)
        + accepted(Reflection_Open_Maps.self, maps) + refused(Reflection_Open_Maps.self, badMaps)
        + accepted(Reflection_Open_Choice.self, choices) + refused(Reflection_Open_Choice.self, badChoices)
        + accepted(Reflection_Open_Known.self, known) + refused(Reflection_Open_Known.self, badKnown)
        + accepted(Reflection_Open_Holder.self, anys) + refused(Reflection_Open_Holder.self, badAnys)
        + accepted(Reflection_Closed_Groups.self, [#"{"single":{"number":1}}"#, #"{"Single":{"inner":{"text":"a"}}}"#])
        + accepted(Reflection_Closed_Extensible.self, extensions)
        + refused(Reflection_Closed_Extensible.self, badExtensions)
        + accepted(Reflection_Closed_Scalars.self, [#"{"suit":"SPADES"}"#, #"{"suit":-2}"#, #"{"mood":77}"#])
        + refused(Reflection_Closed_Scalars.self, [#"{"suit":77}"#, #"{"suit":"NONE"}"#, #"{"suit":"1"}"#])
        + refused(Reflection_Closed_Required.self, ["{}", #"{"id":1}"#, #"{"id":1,"name":"a","next":{}}"#])
        + accepted(Reflection_Closed_Required.self, [#"{"id":0,"name":""}"#])
        + accepted(Google_Protobuf_Value.self, ["null", " 1.5 ", #""a""#, "[1,[true,null]]", #"{"a":{"b":[]}}"#])
        + refused(Google_Protobuf_Value.self, ["", "nul", "1 2", "[1,]", #"{"a":1,"a":2}"#, "NaN", "01"])
        + accepted(Google_Protobuf_Duration.self, [#""1s""#, #""-0.5s""#, #""1.000000001s""#, #""315576000000s""#])
        + refused(Google_Protobuf_Duration.self, badDurations)
        + accepted(Google_Protobuf_Timestamp.self, timestamps) + refused(Google_Protobuf_Timestamp.self, badTimestamps)

    private static let names = [
        #"{"snakeCaseName":1}"#, #"{"snake_case_name":1}"#, #"{"CamelName":1}"#, #"{"trailing":1}"#,
        #"{"trailing_":1}"#, #"{"twoUnderscores":1}"#, #"{"with1Digit":1}"#, #"{"@another name":1}"#,
        #"{"renamed":1}"#, #"{"plain":1,"plain":2}"#, #"{"pl\u0061in":1}"#, #"{"keptDefault":0}"#,
        #" { "plain" : 1 , "in" : 2 } "#, #"{"plain":null}"#, #"{"plain":3,"plain":null}"#,
        #"{"subMessage":{"size":1},"subMessage":{"color":"a"}}"#, #"{"subMessage":{"size":1},"subMessage":null}"#,
    ]
    private static let badNames = [
        "", " ", "null", "[]", "1", "{", #"{"plain":1"#, #"{"plain":1,}"#, #"{"plain":1}}"#, #"{"plain" 1}"#,
        #"{"unknown":1}"#, #"{"":1}"#, #"{"snakecasename":1}"#, #"{"gone":1}"#, #"{plain:1}"#, #"{"1":1}"#,
        #"{"plain":1} x"#, #"{"subMessage":[]}"#, #"{"plain":{}}"#, "\u{feff}{}", "{\u{b}}",
    ]
    private static let scalars = [
        #"{"int32Value":"-5","uint64Value":"18446744073709551615"}"#, #"{"int32Value":1e3,"uint32Value":1.0}"#,
        #"{"int64Value":-9223372036854775808}"#, #"{"int32Value":-0}"#, #"{"doubleValue":"1.5","floatValue":"NaN"}"#,
        #"{"doubleValue":"-Infinity","floatValue":"Infinity"}"#, #"{"doubleValue":1e-999}"#, #"{"doubleValue":-0.0}"#,
        #"{"boolValue":true}"#, #"{"mood":"HAPPY"}"#, #"{"mood":-1}"#, #"{"mood":1234}"#, #"{"mood":1.0}"#,
        #"{"bytesValue":"aGk="}"#, #"{"bytesValue":"aGk"}"#, #"{"bytesValue":"-_-_"}"#, #"{"bytesValue":"+\/+/"}"#,
        #"{"bytesValue":""}"#, #"{"stringValue":"\u00e9\ud83d\ude00\n\/"}"#, #"{"stringValue":"\u0000"}"#,
        #"{"doubleValue":12345678901234567890}"#, #"{"floatValue":3.4028235e38}"#, #"{"floatValue":"0.1"}"#,
    ]
    private static let badScalars = [
        #"{"int32Value":2147483648}"#, #"{"int32Value":1.5}"#, #"{"uint32Value":-1}"#, #"{"uint32Value":-0}"#,
        #"{"int32Value":01}"#, #"{"int32Value":+1}"#, #"{"int32Value":" 1"}"#, #"{"int32Value":"1 "}"#,
        #"{"int32Value":""}"#, #"{"int64Value":9223372036854775808}"#,
        #"{"int64Value":"-9223372036854776808"}"#, #"{"uint64Value":18446744073709551616}"#, #"{"doubleValue":1e999}"#,
        #"{"floatValue":1e39}"#, #"{"floatValue":NaN}"#, #"{"doubleValue":"nan"}"#, #"{"doubleValue":.5}"#,
        #"{"doubleValue":1.}"#, #"{"doubleValue":0x1}"#, #"{"boolValue":"true"}"#, #"{"boolValue":1}"#,
        #"{"boolValue":True}"#, #"{"mood":"happy"}"#, #"{"mood":"1"}"#, #"{"mood":1.5}"#, #"{"mood":true}"#,
        #"{"bytesValue":"aGk=="}"#, #"{"bytesValue":"a"}"#, #"{"bytesValue":"+-"}"#, #"{"bytesValue":"a!Gk"}"#,
        #"{"stringValue":"\ud83d"}"#, #"{"stringValue":"\udc00"}"#, #"{"stringValue":"\x"}"#, #"{"stringValue":1}"#,
        "{\"stringValue\":\"a\nb\"}", #"{"stringValue":"a"#, #"{"stringValue":'a'}"#, #"{"leaf":[]}"#,
    ]
    private static let badLists = [
        #"{"int32s":1}"#, #"{"int32s":[null]}"#, #"{"int32s":[1,]}"#, #"{"int32s":[1 2]}"#, #"{"int32s":{}}"#,
        #"{"leaves":[null]}"#, #"{"moods":[null]}"#, #"{"strings":["a",1]}"#, #"{"int32s":[[1]]}"#,
    ]
    private static let maps = [
        #"{"byInt32":{"1":1,"-1":2}}"#, #"{"byInt32":{"1.0":1}}"#, #"{"byBool":{"true":"a","false":"b"}}"#,
        #"{"byInt32":null}"#, #"{"byInt32":{"1":1},"by_int32":{"2":2}}"#, #"{"leaves":{"":{}}}"#,
        #"{"byString":{"a":-1,"b":"SAD"}}"#,
    ]
    private static let badMaps = [
        #"{"byInt32":{"1":1,"1":2}}"#, #"{"byInt32":{1:1}}"#, #"{"byInt32":{"a":1}}"#, #"{"byInt32":{"1":null}}"#,
        #"{"byBool":{"True":"a"}}"#, #"{"byBool":{true:"a"}}"#, #"{"byInt32":[]}"#, #"{"leaves":{"a":null}}"#,
        #"{"byUint32":{"-1":1}}"#, #"{"byInt32":{"2147483648":1}}"#, #"{"byInt32":{"1":1,}}"#,
    ]
    private static let choices = [
        #"{"int32Value":0}"#, #"{"stringValue":""}"#, #"{"leaf":{}}"#, #"{"nullValue":null}"#,
        #"{"nullValue":"NULL_VALUE"}"#, #"{"wrapped":"0"}"#, #"{"wrapped":null,"int32Value":1}"#,
        #"{"int32Value":1,"stringValue":null}"#, #"{"first":{},"leaf":{}}"#,
    ]
    private static let badChoices = [
        #"{"int32Value":1,"stringValue":"a"}"#, #"{"int32Value":1,"int32Value":2}"#, #"{"leaf":{},"leaf":{}}"#,
        #"{"first":{},"second":{}}"#,
    ]
    private static let known = [
        #"{"value":null}"#, #"{"values":[null,1,"a",[],{}]}"#, #"{"valuesByName":{"a":null}}"#, #"{"list":[]}"#,
        #"{"structure":{}}"#, #"{"empty":{}}"#, #"{"nothing":null}"#, #"{"nothings":[null,"NULL_VALUE",0]}"#,
        #"{"int64Value":"5","boolValue":false,"bytesValue":"AA=="}"#, #"{"doubleValue":"NaN"}"#, #"{"mask":""}"#,
        #"{"mask":"a.bC,d"}"#, #"{"timestamp":null,"list":null}"#, #"{"stringValue":null}"#,
    ]
    private static let badKnown = [
        #"{"mask":"a_b"}"#, #"{"mask":"a,,b"}"#, #"{"mask":"a,"}"#, #"{"empty":{"a":1}}"#, #"{"list":{}}"#,
        #"{"structure":[]}"#, #"{"structure":{"a":1,"a":2}}"#, #"{"stringValues":[null]}"#, #"{"timestamps":[null]}"#,
        #"{"int64Value":{"value":"5"}}"#, #"{"timestamp":{"seconds":1}}"#, #"{"value":NaN}"#,
    ]
    private static let anys = [
        #"{"any":{}}"#, #"{"any":{"@type":"type.googleapis.com/reflection.open.Leaf"}}"#,
        #"{"any":{"size":1,"@type":"type.googleapis.com/reflection.open.Leaf"}}"#,
        #"{"any":{"@type":"a/b/reflection.open.Leaf","size":1,"color":"a"}}"#,
        #"{"any":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}}"#,
        #"{"any":{"value":[1],"@type":"type.googleapis.com/google.protobuf.Value"}}"#,
        #"{"any":{"@type":"/google.protobuf.Any","value":{"@type":"/reflection.open.Leaf","size":2}}}"#,
        #"{"any":{"@type":"/google.protobuf.Empty"}}"#, #"{"any":{"@type":"/reflection.closed.Required"}}"#,
    ]
    private static let badAnys = [
        #"{"any":{"size":1}}"#, #"{"any":{"@type":"reflection.open.Leaf"}}"#, #"{"any":{"@type":""}}"#,
        #"{"any":{"@type":1}}"#, #"{"any":{"@type":"/reflection.open.Leaf","sise":1}}"#,
        #"{"any":{"@type":"/nowhere.Missing","size":1}}"#, #"{"any":[]}"#,
        #"{"any":{"@type":"/google.protobuf.Duration","value":"1"}}"#,
        #"{"any":{"@type":"/google.protobuf.Duration","value":"1s","more":1}}"#,
    ]
    private static let extensions = [
        #"{"[reflection.closed.int32_extension]":1}"#, #"{"before":1,"[reflection.closed.Scope.scoped]":{"name":"a"}}"#,
        #"{"[reflection.closed.packed_suits_extension]":["CLUBS",1]}"#,
        #"{"[reflection.closed.groupextension]":{"number":1}}"#,
        #"{"[reflection.closed.self_extension]":{"[reflection.closed.bool_extension]":true}}"#,
        #"{"[reflection.closed.timestamp_extension]":"1970-01-01T00:00:01Z"}"#,
    ]
    private static let badExtensions = [
        #"{"reflection.closed.int32_extension":1}"#, #"{"[int32_extension]":1}"#, #"{"[reflection.closed.missing]":1}"#,
        #"{"int32Extension":1}"#, #"{"[reflection.closed.suit_extension]":9}"#, #"{"[]":1}"#, #"{"[":1}"#,
    ]
    private static let badDurations = [
        #""1""#, #""s""#, #""1.s""#, #"".5s""#, #""1.0000000001s""#, #""+1s""#, #""1s ""#, #""--1s""#, #""1e1s""#,
        #""315576000001s""#, "1", "null", #""1.-5s""#, #""1ss""#,
    ]
    private static let timestamps = [
        #""1970-01-01T00:00:00Z""#, #""0001-01-01T00:00:00Z""#, #""9999-12-31T23:59:59.999999999Z""#,
        #""2024-02-29T12:00:00.5+01:30""#, #""2024-02-29T12:00:00-13:59""#,
    ]
    private static let badTimestamps = [
        #""1970-01-01t00:00:00Z""#, #""1970-01-01T00:00:00z""#, #""1970-01-01T00:00:00""#, #""1970-01-01""#,
        #""1970-13-01T00:00:00Z""#, #""1970-02-29T00:00:00Z""#, #""1970-01-01T24:00:00Z""#,
        #""1970-01-01T00:00:60Z""#, #""1970-01-01T00:00:00.Z""#, #""1970-01-01T00:00:00.1234567890Z""#,
        #""1970-01-01T00:00:00+14:00""#, #""0000-01-01T00:00:00Z""#, #""0001-01-01T00:00:00+00:01""#, "0", #""""#,
    ]
}
