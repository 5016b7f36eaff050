import ProtobufReflection
import Testing

@Suite("A field of a message that is known by its descriptor")
struct FieldTests {
    private func message(_ name: String, _ json: String, in file: String = "reflection/reflection.binpb") throws
        -> DynamicMessage
    {
        let set = try DescriptorSet(serialized: fixture(file))
        return try DynamicMessage(#require(set.message(named: name)), json: json)
    }

    @Test("is found by its name")
    func found() throws {
        let account = try message(
            "samplepb.Account", #"{"accountId":"a","accountBalance":1.5}"#, in: "samplepb.binpb")
        #expect(try account.field("account_id") == .text("a"))
        #expect(try account.field("accountId") == .text("a"))
        #expect(try account.field("account_balance") == .real(1.5))
        for path in ["", "nothing", "account_id.x", "account_id.", ".account_id"] {
            #expect(throws: ReflectionError.self, "\(path)") { try account.field(path) }
            #expect(throws: ReflectionError.self, "\(path)") { try account.type.checkField(path) }
        }
    }

    @Test("has its default where it is not set, and null where it tells that apart")
    func absent() throws {
        let scalars = try message("reflection.open.Scalars", "{}")
        #expect(try scalars.field("double_value") == .real(0))
        #expect(try scalars.field("int64_value") == .integer(0))
        #expect(try scalars.field("bool_value") == .bool(false))
        #expect(try scalars.field("string_value") == .text(""))
        #expect(try scalars.field("bytes_value") == .bytes([]))
        let optionals = try message("reflection.open.Optionals", #"{"int32Value":0}"#)
        #expect(try optionals.field("int32_value") == .integer(0))
        #expect(try optionals.field("int64_value") == .null)
        #expect(try optionals.field("leaf") == .null)
        #expect(try optionals.field("leaf.size") == .null)
        #expect(throws: ReflectionError.self) { try optionals.field("leaf.nothing") }
    }

    @Test("has the value that a column can take")
    func values() throws {
        let scalars = try message(
            "reflection.open.Scalars",
            #"{"floatValue":0.1,"uint64Value":"18446744073709551615","int64Value":"-5","boolValue":true,"bytesValue":"AQI="}"#
        )
        #expect(try scalars.field("float_value") == .real(0.1), "the shortest decimal of the float")
        #expect(try scalars.field("uint64_value") == .unsigned(.max))
        #expect(try scalars.field("int64_value") == .integer(-5))
        #expect(try scalars.field("bool_value") == .bool(true))
        #expect(try scalars.field("bytes_value") == .bytes([1, 2]))
        let optionals = try message("reflection.open.Optionals", #"{"leaf":{"size":3,"color":"red"}}"#)
        #expect(try optionals.field("leaf.size") == .integer(3))
        #expect(try optionals.field("leaf") == .json(#"{"size":3,"color":"red"}"#))
        let lists = try message("reflection.open.Lists", #"{"int32s":[1,2],"leaves":[{"size":1}]}"#)
        #expect(try lists.field("int32s") == .json("[1,2]"))
        #expect(try lists.field("leaves") == .json(#"[{"size":1}]"#))
        #expect(try lists.field("strings") == .json("[]"))
        #expect(throws: ReflectionError.self) { try lists.field("leaves.size") }
    }
}
