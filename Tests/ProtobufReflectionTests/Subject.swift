import BankDomain
import SwiftProtobuf
import Testing

/// A generated message type that a test compares with its descriptor.
struct Subject: Sendable, CustomTestStringConvertible {
    let type: any Message.Type

    var name: String { type.protoMessageName }
    var testDescription: String { name }

    /// The types of Fixtures/reflection that have a file of their own to read: each shows another part of the language.
    static let all: [Subject] = {
        let types: [any Message.Type] = [
            Reflection_Open_Scalars.self, Reflection_Open_Optionals.self, Reflection_Open_Lists.self,
            Reflection_Open_Maps.self, Reflection_Open_Choice.self, Reflection_Open_Tree.self,
            Reflection_Open_Known.self, Reflection_Open_Holder.self, Reflection_Open_Names.self,
            Reflection_Closed_Scalars.self, Reflection_Closed_Required.self, Reflection_Closed_Lists.self,
            Reflection_Closed_Packed.self, Reflection_Closed_Groups.self, Reflection_Closed_Maps.self,
            Reflection_Closed_Extensible.self, Reflection_Closed_Scope.self, Reflection_Closed_Reserved.self,
        ]
        // The generated code finds the content of an Any by registered types, the descriptor set by its own.
        for type in types + [Reflection_Open_Leaf.self] { Google_Protobuf_Any.register(messageType: type) }
        return types.map(Subject.init)
    }()

    /// The well-known types, which have a JSON form of their own also at the root.
    static let wellKnown: [Subject] = {
        let types: [any Message.Type] = [
            Google_Protobuf_Timestamp.self, Google_Protobuf_Duration.self, Google_Protobuf_FieldMask.self,
            Google_Protobuf_Struct.self, Google_Protobuf_Value.self, Google_Protobuf_ListValue.self,
            Google_Protobuf_Empty.self, Google_Protobuf_Any.self, Google_Protobuf_DoubleValue.self,
            Google_Protobuf_FloatValue.self, Google_Protobuf_Int64Value.self, Google_Protobuf_UInt64Value.self,
            Google_Protobuf_Int32Value.self, Google_Protobuf_UInt32Value.self, Google_Protobuf_BoolValue.self,
            Google_Protobuf_StringValue.self, Google_Protobuf_BytesValue.self,
        ]
        _ = all
        return types.map(Subject.init)
    }()

    /// The types of Fixtures/samplepb.binpb.
    static let sample: [Subject] = {
        let types: [any Message.Type] = [
            Samplepb_Account.self, Samplepb_AccountCreated.self, Samplepb_AccountCredited.self,
            Samplepb_AccountDebited.self, Samplepb_CreateAccount.self, Samplepb_CreditAccount.self,
            Samplepb_TransferState.self, Samplepb_TransferStarted.self,
        ]
        return types.map(Subject.init)
    }()

    static let everything = all + wellKnown
}
