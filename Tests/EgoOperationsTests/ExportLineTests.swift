import BankDomain
import EgoCore
import EgoTestKit
import Foundation
import SwiftProtobuf
import Testing

@testable import EgoOperations

@Suite("The line of a record")
struct ExportLineTests {
    private let messages = MessageRegistry([
        MessageType(Samplepb_Account.self), MessageType(Google_Protobuf_BytesValue.self),
        MessageType(Google_Protobuf_StringValue.self), MessageType(Google_Protobuf_Timestamp.self),
        MessageType(Google_Protobuf_Api.self),
    ])

    private func line(_ write: (JSONLineWriter) -> Void) -> String {
        let buffer = TransferBuffer(capacity: 1)
        write(JSONLineWriter(buffer, messages))
        return String(decoding: buffer.bytes, as: UTF8.self)
    }

    @Test("has its fields in their order, and what is not for JSON is escaped")
    func fields() throws {
        let event = PersistedEvent(
            persistenceID: try PersistenceID("o\"d\u{1}\\\n漢\u{7f}"), sequenceNumber: 12_345_678_901_234_567_890,
            offset: Offset(transactionID: 7, position: Position(10)), timestamp: Timestamp(unixNanoseconds: .min),
            shard: Shard(.max), manifest: "m", payload: [255, 0], encryptionKeyID: "k", isEncrypted: true,
            isDeleted: true, metadata: EventMetadata(commandID: CommandID("c"), traceContext: "t"),
            unknownFields: [1])
        #expect(
            line { $0.write(event) }
                == #"{"type":"event","id":"o\"d\u0001\\\u000a漢\u007f","sequence_number":"12345678901234567890","#
                + #""position":"7:10","timestamp":"-9223372036854775808","shard":18446744073709551615,"manifest":"m","#
                + #""bytes":"/wA=","encrypted":true,"encryption_key":"k","deleted":true,"command_id":"c","#
                + #""trace_context":"t","unknown_fields":"AQ=="}"# + "\n")
        let entity = ExportedEntity(
            id: try PersistenceID("e"), kind: "k", sequenceNumber: 0, floor: 100,
            erasedAt: Timestamp(unixNanoseconds: 99))
        #expect(
            line { $0.write(entity) }
                == #"{"type":"entity","id":"e","sequence_number":"0","floor":"100","kind":"k","erased_at":"99"}"# + "\n"
        )
    }

    @Test("is what Foundation and SwiftProtobuf make of it, for records made by chance")
    func comparison() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        let buffer = TransferBuffer(capacity: 1)
        let writer = JSONLineWriter(buffer, messages)
        for _ in 0..<20_000 {
            let payload = random.payload()
            let snapshot = StoredSnapshot(
                persistenceID: PersistenceID(stored: random.text().replacing("\0", with: "0")),
                sequenceNumber: SequenceNumber(max(1, random.next() >> UInt64.random(in: 2...63, using: &random))),
                timestamp: Timestamp(
                    unixNanoseconds: Int64(truncatingIfNeeded: random.next())
                        >> Int64.random(in: 0...63, using: &random)),
                payload: payload, isEncrypted: Int.random(in: 0..<8, using: &random) == 0)
            buffer.removeAll()
            writer.write(snapshot)
            let written = String(decoding: buffer.bytes, as: UTF8.self)
            #expect(written == reference(snapshot), "\(payload)")
            let read = try record(written)
            if case .snapshot(let read) = read { #expect(read.payload == payload) } else { Issue.record("\(read)") }
        }
    }

    private func record(_ line: String) throws -> ExportRecord {
        var line = String(line.dropLast())
        return try line.withUTF8 { try ExportRecord(line: $0, TransferBuffer(capacity: 1)) }
    }

    private func reference(_ snapshot: StoredSnapshot) -> String {
        func quoted(_ text: String) -> String {
            let escaped = text.unicodeScalars.map { scalar in
                switch scalar {
                case "\"", "\\": "\\\(scalar)"
                case "\0"..<" ", "\u{7f}": "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
                default: String(scalar)
                }
            }
            return "\"\(escaped.joined())\""
        }
        var line = #"{"type":"snapshot","id":\#(quoted(snapshot.persistenceID.rawValue))"#
        line += #","sequence_number":"\#(snapshot.sequenceNumber)""#
        line += #","timestamp":"\#(snapshot.timestamp.unixNanoseconds)""#
        if let any = try? AnyPayload(serialized: snapshot.payload) {
            line += #","message":\#(quoted(any.typeName))"#
            if !snapshot.isEncrypted, let json = try? messages.decode(any).jsonString() {
                line += #","payload":\#(json)"#
            }
        }
        line += #","bytes":"\#(Data(snapshot.payload).base64EncodedString())""#
        return line + (snapshot.isEncrypted ? #","encrypted":true}"# : "}") + "\n"
    }
}

extension SeededGenerator {
    fileprivate mutating func text() -> String {
        let parts = [
            "a", "Z9", "\"", "\\", "/", "\u{0}", "\u{1f}", "\n", "\t", "\u{7f}", "\u{80}", "é", "漢", "😀", "<>&", " ",
        ]
        return (0..<Int.random(in: 1...12, using: &self)).map { _ in parts.randomElement(using: &self) ?? "" }.joined()
    }

    fileprivate mutating func bytes(_ most: Int) -> [UInt8] {
        (0..<Int.random(in: 0...most, using: &self)).map { _ in UInt8.random(in: 0...255, using: &self) }
    }

    private mutating func number() -> Double {
        [
            0, -0.0, 1.5, -2e-7, 1e21, 123_456_789, .nan, .infinity, -.infinity, .greatestFiniteMagnitude,
            .leastNonzeroMagnitude,
        ]
        .randomElement(using: &self) ?? 0
    }

    /// A message in an `Any`, mostly one that is known, and sometimes damaged.
    fileprivate mutating func payload() -> [UInt8] {
        var value: [UInt8]
        var name: String
        switch Int.random(in: 0..<9, using: &self) {
        case 0:
            let message = Google_Protobuf_BytesValue(Data(bytes(70)))
            (name, value) = ("google.protobuf.BytesValue", (try? message.serializedBytes()) ?? [])
        case 1:
            let message = Google_Protobuf_StringValue(text())
            (name, value) = ("google.protobuf.StringValue", (try? message.serializedBytes()) ?? [])
        case 2:
            let message = Google_Protobuf_Timestamp(
                seconds: Int64.random(in: -99_999_999_999...999_999_999_999, using: &self),
                nanos: Int32.random(in: -1...1_000_000_000, using: &self))
            (name, value) = ("google.protobuf.Timestamp", (try? message.serializedBytes()) ?? [])
        case 3:
            var message = Google_Protobuf_Api()
            message.name = text()
            message.methods = (0..<Int.random(in: 0...2, using: &self)).map { _ in
                var method = Google_Protobuf_Method()
                method.name = text()
                method.requestStreaming = Bool.random(using: &self)
                method.syntax = Google_Protobuf_Syntax(rawValue: Int.random(in: 0...3, using: &self)) ?? .proto2
                return method
            }
            if Bool.random(using: &self) { message.sourceContext.fileName = text() }
            (name, value) = ("google.protobuf.Api", (try? message.serializedBytes()) ?? [])
        case 4: (name, value) = ("unknown.\(text())", bytes(10))
        default:
            var message = Samplepb_Account()
            if Bool.random(using: &self) { message.accountID = text() }
            if Bool.random(using: &self) { message.accountBalance = number() }
            (name, value) = ("samplepb.Account", (try? message.serializedBytes()) ?? [])
        }
        switch Int.random(in: 0..<12, using: &self) {
        // A field that comes twice, or is not known, or comes before one with a smaller number.
        case 0: value += value
        case 1: value = Array(value.reversed())
        case 2:
            if !value.isEmpty {
                value[Int.random(in: value.indices, using: &self)] = UInt8.random(in: 0...255, using: &self)
            }
        case 3: value = Array(value.dropLast(Int.random(in: 1...3, using: &self)))
        case 4: value += [0x7a, 2, 65, 66]
        case 5: value = bytes(9)
        case 6: value += [0x0a, 2, 0xff, 0xfe]
        case 7: name = text()
        default: break
        }
        var any = AnyPayload(typeURL: AnyPayload.typeURLPrefix + name, value: value).serialized()
        switch Int.random(in: 0..<20, using: &self) {
        case 0: any = bytes(20)
        case 1: any += any
        case 2: any[Int.random(in: any.indices, using: &self)] = UInt8.random(in: 0...255, using: &self)
        default: break
        }
        return any
    }
}
