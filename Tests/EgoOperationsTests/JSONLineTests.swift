import EgoCore
import EgoTestKit
import Foundation
import Testing

@testable import EgoOperations

@Suite("A line of an export")
struct JSONLineTests {
    private func members(_ text: String) -> [String: String]? {
        var found: [String: String] = [:]
        do throws(ExportProblem) {
            try read(Array(text.utf8)) { name, value in
                found[name.string] =
                    switch value {
                    case .text(let text): "s:\(text.string)"
                    case .number(let number): "n:\(number)"
                    case .bool(let isOn): "b:\(isOn)"
                    case .other: "?"
                    }
            }
        } catch { return nil }
        return found
    }

    private func read(
        _ line: [UInt8], _ member: (JSONLineReader.Text, JSONLineReader.Value) -> Void
    ) throws(ExportProblem) {
        var failure: ExportProblem?
        line.withUnsafeBufferPointer { line in
            do throws(ExportProblem) { try JSONLineReader.read(line, member) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    @Test("is read whatever its spaces, its order and its escapes")
    func valid() {
        #expect(members("{}") == [:])
        #expect(
            members(" { \"b\" : 7 ,\t\"a\":\"x\", \"c\":true,\"d\":false,\"e\":null } \r")
                == ["b": "n:7", "a": "s:x", "c": "b:true", "d": "b:false", "e": "?"])
        #expect(
            members(#"{"a":"\"\\\/\b\f\n\r\té\ud83d\ude00漢"}"#) == ["a": "s:\"\\/\u{8}\u{c}\n\r\té😀漢"])
        #expect(
            members(#"{"p":{"a":["}","\"]",{"b":[]}]},"q":[1,[2]],"r":"s"}"#) == ["p": "?", "q": "?", "r": "s:s"])
        #expect(members("{\"n\":-5,\"m\":1.5,\"k\":99999999999999999999}") == ["n": "?", "m": "?", "k": "?"])
        #expect(members("{\"a\":1,\"a\":2}") == ["a": "n:2"])
    }

    @Test("that is no JSON object is none")
    func invalid() {
        for text in [
            "", "[]", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1", "{\"a\":1,}", "{\"a\":1}x", "{a:1}", "{\"a\":\"x}",
            "{\"a\":\"\u{1}\"}",
            "{\"a\":\"\\x\"}", "{\"a\":\"\\ud83d\"}", "{\"a\":\"\\ude00\"}", "{\"a\":\"\\u12\"}", "{\"a\":tru}",
            "{\"a\":{\"b\":1}",
            "{\"a\":[\"x]}", "{\"a\":\"x\\", "{\"a\":[\"\\",
        ] { #expect(members(text) == nil, "\(text)") }
        var bytes = Array("{\"a\":\"x\"}".utf8)
        bytes[6] = 0xff
        #expect(throws: ExportProblem.self) { try read(bytes) { _, _ in } }
    }

    @Test("gives what Foundation's decoder gives, on lines made by chance")
    func comparison() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        let parts = [
            "{", "}", "\"a\"", "\"b\":", ":", ",", "\"x\"", "7", "true", "null", "[", "]", " ", "\\", "\"", "\\u0041",
            "é",
            "\"a\":\"b\"", "{\"a\":1}", "\"k\":[1,2]",
        ]
        var valid = 0
        for _ in 0..<20_000 {
            let text =
                "{"
                + (0..<Int.random(in: 0...6, using: &random)).map { _ in parts.randomElement(using: &random) ?? "" }
                .joined()
                + "}"
            let parsed = try? JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
            // Foundation takes a comma at the end, JSON does not.
            guard let parsed, text.firstMatch(of: /,\s*[}\]]/) == nil else { continue }
            valid += 1
            // What is valid is read; what is not may be overlooked inside of what is stepped over.
            let found = try #require(members(text), "\(text)")
            for (name, value) in found where value.hasPrefix("s:") {
                #expect(parsed[name] as? String == String(value.dropFirst(2)), "\(text)")
            }
            #expect(Set(found.keys) == Set(parsed.keys), "\(text)")
        }
        #expect(valid > 300, "\(valid)")
    }
}
