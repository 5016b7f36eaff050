import Foundation
import LineEditor
import ProtobufReflection
import Testing

@testable import EgoCommands

@Suite("Inputs of a session")
struct SessionInputTests {
    @Test(
        "what is open at the end is known, from the outside in",
        arguments: [
            ("", ""), ("\\state", ""), ("A {", "{"), ("A {\"x\": [", "{["), ("A {\"x", "{\""), ("A {\"x\\\"", "{\""),
            ("A {\"}\"", "{"), ("A {\"x\": [1]}", ""), ("A x: 'it\\'s", "'"), ("A {}}", ""), ("A {} # {", ""),
            ("A#{", "{"), ("\\! echo {", ""), ("  \\! echo \"", ""), ("\\use a\\\"b", ""), ("\\use a\\{b", ""),
            // A mark that combines with the quotation mark does not hide it.
            ("A {\"\u{301}x\": 1}", ""), ("A {\"\u{200d}x", "{\""), ("A {\"x\": \"\u{fe0f}}", "{\""),
        ])
    func open(_ input: String, _ wanted: String) { #expect(ScannedInput(input).open == wanted) }

    @Test("comments and white space around it are no part of an input")
    func comments() {
        #expect(ScannedInput("  \\state  # now").text == "\\state")
        #expect(ScannedInput("# nothing else").text == "")
        #expect(ScannedInput("A { # one\n \"x\": \"# two\" }").text == "A { \n \"x\": \"# two\" }")
        #expect(ScannedInput("\\use a#b").text == "\\use a#b")
    }

    @Test(
        "\\g at the end says where output goes",
        arguments: [
            ("\\state \\g |jq .", "\\state", "|jq ."), ("\\state \\g|jq .", "\\state", "|jq ."),
            ("\\state \\g out.json ", "\\state", "out.json"), ("\\state \\g", "\\state", ""),
            ("A {\"x\": \" \\\\g \"} \\g |cat", "A {\"x\": \" \\\\g \"}", "|cat"), ("\\g |cat", "\\g |cat", nil),
            ("\\state \\goo", "\\state \\goo", nil), ("A {\"x\": 1 \\g |cat", "A {\"x\": 1 \\g |cat", nil),
        ] as [(String, String, String?)])
    func target(_ input: String, _ text: String, _ target: String?) {
        let scanned = ScannedInput(input)
        #expect(scanned.text == text)
        #expect(scanned.target == target)
    }

    @Test("line by line it is the same as at once")
    func lines() {
        let lines = ["A {  # first", "\"x\": \"#", "\",", "", "} \\g |jq '.[]'"]
        var scanned = ScannedInput()
        #expect(scanned.hasNoLines)
        for (index, line) in lines.enumerated() {
            scanned.append(line)
            #expect(scanned.isWhole == (index == lines.count - 1))
        }
        let whole = ScannedInput(lines.joined(separator: "\n"))
        #expect(scanned.text == whole.text)
        #expect(scanned.target == "|jq '.[]'")
        #expect(whole.target == scanned.target)
    }

    @Test(
        "variables stand where a value can, and nowhere else",
        arguments: [
            ("A {\"x\": :n}", "A {\"x\": 7}"), ("A x: :n", "A x: 7"), ("[:n,:n]", "[7,7]"), (":n", "7"),
            ("A {\"x\": \":n\"}", "A {\"x\": \":n\"}"), ("@12:n", "@12:n"), ("A x::n", "A x::n"), (":no", ":no"),
            (":m", ":m"), (":\"t\"", "\"a \\\"b\\\"\""), (":'t'", "\"a \\\"b\\\"\""), (":t", "a \"b\""),
            ("A {\"\u{301} :n\": :n}", "A {\"\u{301} :n\": 7}"),
            ("\\state @2026-03-01T10:00Z", "\\state @2026-03-01T10:00Z"),
        ])
    func variables(_ input: String, _ wanted: String) {
        #expect(SessionVariables.replaced(in: input, ["n": "7", "t": "a \"b\""]) == wanted)
    }

    @Test("a value is not looked through for variables")
    func noRecursion() { #expect(SessionVariables.replaced(in: ":a :b", ["a": ":b", "b": "1"]) == ":b 1") }

    @Test("text becomes a string of JSON with every control character written out")
    func quoted() {
        #expect(SessionVariables.quoted("a\"\\\n\t\u{1}é") == "\"a\\\"\\\\\\n\\t\\u0001é\"")
    }

    @Test(
        "words are split as in a shell, and JSON is one word",
        arguments: [
            ("a  b", ["a", "b"]), ("'a b' \"c \\\" d\"", ["a b", "c \" d"]), ("a\\ b", ["a b"]), ("''", [""]),
            ("x {\"a\": [1, \"} \"]} y", ["x", "{\"a\": [1, \"} \"]}", "y"]), ("a=\"b c\"", ["a=b c"]), ("", []),
        ])
    func words(_ text: String, _ wanted: [String]) { #expect(SessionWords(text).words == wanted) }

    @Test("a space at the end begins another word")
    func endsOpen() {
        #expect(SessionWords("").endsOpen)
        #expect(SessionWords("acc-1 ").endsOpen)
        #expect(!SessionWords("acc-1").endsOpen)
        #expect(!SessionWords("'acc 1 ").endsOpen)
        #expect(SessionWords("é b").starts == [0, 3])
    }

    @Test("what is left of a line stays as it was typed, after flags and their values")
    func raw() {
        let flags: Set = ["--count", "-C"]
        let watch = SessionWords("--count 2 0.5 \\events 'a b'", rawAfter: 1, flagsWithValue: flags)
        #expect(watch.words == ["--count", "2", "0.5", "\\events 'a b'"])
        #expect(watch.leadingFlags == 2)
        let set = SessionWords("x -5 -6", rawAfter: 1, flagsWithValue: flags)
        #expect(set.words == ["x", "-5 -6"])
        #expect(set.leadingFlags == 0)
        let dry = SessionWords("--count=3 -q A {\"x\": '}'}", rawAfter: 0, flagsWithValue: flags)
        #expect(dry.words == ["--count=3", "-q", "A {\"x\": '}'}"])
        #expect(dry.leadingFlags == 2)
    }

    @Test("ten megabytes on a line are scanned in seconds, and twenty thousand lines too", .timeLimit(.minutes(1)))
    func long() {
        let text = String(repeating: "x", count: 10_000_000)
        #expect(ScannedInput("A {\"x\": \"\(text)\"}").isWhole)
        var scanned = ScannedInput()
        scanned.append("A {")
        for _ in 0..<20_000 { scanned.append("  \"x\": 1,") }
        scanned.append("}")
        #expect(scanned.isWhole)
    }
}

@Suite("Completion of a message")
struct MessageCompletionTests {
    private static let descriptors = Result {
        let fixtures = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Fixtures")
        let data = try Data(contentsOf: fixtures.appending(path: "reflection/reflection.binpb"))
        return try DescriptorSet(serialized: Array(data))
    }

    private func complete(_ type: String, _ content: String) throws -> LineCompletion {
        let descriptor = try #require(try Self.descriptors.get().message(named: "reflection.open.\(type)"))
        return MessageCompletion(descriptor).completion(content)
    }

    @Test(
        "JSON: fields that are not there yet, values, and what is nested",
        arguments: [
            ("Leaf", " {", ["\"size\"", "\"color\""]), ("Leaf", " {\"", ["size", "color"]),
            ("Leaf", " {\"s", ["size"]), ("Leaf", " {\"size\": 1, \"", ["color"]), ("Leaf", " {\"x", []),
            ("Scalars", " {\"mood\": \"F", ["FURIOUS"]), ("Scalars", " {\"boolValue\": ", ["false", "true"]),
            ("Scalars", " {\"leaf\": ", ["{"]), ("Scalars", " {\"leaf\": {\"c", ["color"]),
            ("Scalars", " {\"leaf\": {\"size\": 1}, \"mo", ["mood"]), ("Scalars", " {\"stringValue\": \"m", []),
            ("Lists", " {\"moods\": [\"CALM\", \"S", ["SAD"]),
            ("Lists", " {\"leaves\": [{\"size\": 2}, {\"", ["size", "color"]),
            ("Maps", " {\"byString\": {\"a\": \"G", ["GLAD"]), ("Maps", " {\"leaves\": {\"k\": {\"s", ["size"]),
            ("Maps", " {\"leaves\": {\"s", []),
            ("Maps", " {\"leaves\": {\"k\": {\"size\": 1}, \"k2\": {\"c", ["color"]),
            ("Tree", " {\"left\": {\"left\": {\"le", ["leaf", "left"]),
            ("Tree", " {\"children\": [{\"leaf\": {\"si", ["size"]),
            ("Leaf", " {\"color\": \"a{b\", \"", ["size"]), ("Leaf", " {}", []),
            ("Scalars", " {\n\"mood\": \"H", ["HAPPY"]),
        ])
    func json(_ type: String, _ content: String, _ wanted: [String]) throws {
        #expect(try complete(type, content).words.sorted() == wanted.sorted())
    }

    @Test(
        "text format: fields by their own names, repeated ones again, messages with brackets",
        arguments: [
            ("Leaf", " ", ["size", "color"]), ("Leaf", " s", ["size"]), ("Leaf", " size: 1 ", ["color"]),
            ("Scalars", " bool_", ["bool_value"]), ("Scalars", " mood: F", ["FURIOUS"]),
            ("Scalars", " leaf { c", ["color"]), ("Scalars", " leaf { size: 1 } moo", ["mood"]),
            ("Lists", " moods: CALM moods: S", ["SAD"]), ("Lists", " leaves { size: 1 } leav", ["leaves"]),
            ("Tree", " left { leaf { si", ["size"]), ("Scalars", " string_value: \"m", []),
            ("Scalars", " bool_value: t", ["true"]),
        ])
    func text(_ type: String, _ content: String, _ wanted: [String]) throws {
        #expect(try complete(type, content).words.sorted() == wanted.sorted())
    }

    @Test("the words begin where what was typed of them begins")
    func places() throws {
        #expect(try complete("Leaf", " {\"si").start == 3)
        #expect(try complete("Leaf", " {\"color\": \"é\", \"si").start == 18)
        #expect(try complete("Leaf", " {\"si").suffix == "\": ")
        #expect(try complete("Scalars", " lea").suffix == " { ")
        #expect(try complete("Scalars", " moo").suffix == ": ")
    }

    @Test("an enumeration's default comes first, also where it has numbers below zero")
    func defaults() throws {
        let descriptor = try #require(try Self.descriptors.get().message(named: "reflection.open.Scalars"))
        let mood = try #require(descriptor.fields.first { $0.name == "mood" })
        guard case .enumeration(let names) = mood.value else {
            Issue.record("it is no enumeration")
            return
        }
        #expect(names == ["CALM", "BLEAK", "SAD", "GLAD", "HAPPY", "FURIOUS"])
    }
}
