import EgoTestKit
import Foundation
import Testing

@testable import EgoCommands

@Suite("TOML")
struct TOMLTests {
    private func json(_ value: TOMLValue) -> String {
        switch value {
        case .string(let text): "s:" + text.debugDescription
        case .integer(let number): "\(number)"
        case .float(let number): "f:\(number)"
        case .boolean(let isOn): "\(isOn)"
        case .array(let nodes): "[" + nodes.map { json($0.value) }.joined(separator: ",") + "]"
        case .table(let table):
            "{" + table.entries.map { "\($0.key)=" + json($0.node.value) }.joined(separator: ",") + "}"
        }
    }

    private func parse(_ text: String) -> String {
        do { return json(.table(try TOMLParser.parse(text))) } catch {
            return "\(error.place.line):\(error.place.column) \(error.message)"
        }
    }

    @Test("is read as its specification says")
    func valid() {
        for (text, expected) in [
            ("", "{}"), ("# only a comment", "{}"), ("a = 1", "{a=1}"), ("\"a b\" = 1\n'c' = 2\r\n", "{a b=1,c=2}"),
            ("a.b.c = 1\na.d = 2", "{a={b={c=1},d=2}}"), ("a . b = 1", "{a={b=1}}"),
            ("[x.y]\nz = 1\n[x]\nw = 2", "{x={y={z=1},w=2}}"), ("[ a . \"b.c\" ]", "{a={b.c={}}}"),
            ("[[p]]\nn = 1\n[[p]]\nn = 2\n[p.q]\nr = 3", "{p=[{n=1},{n=2,q={r=3}}]}"),
            ("a = [1, [2, 3], # comment\n  'x',\n]", "{a=[1,[2,3],s:\"x\"]}"), ("a = []", "{a=[]}"),
            ("a = { b = 1, c.d = [ ] }", "{a={b=1,c={d=[]}}}"), ("a = {}", "{a={}}"),
            ("a = \"\\u00e9\\U0001F600\\t\\\"\\\\\"", "{a=s:" + "é😀\t\"\\".debugDescription + "}"),
            ("a = '''\nx\\y\n'z''''", "{a=s:" + "x\\y\n'z'".debugDescription + "}"),
            ("a = \"\"\"\nx \\\n   y\n\\u0041\"\"\"\"\"", "{a=s:" + "x y\nA\"\"".debugDescription + "}"),
            ("a = \"\"", "{a=s:\"\"}"), ("a = ''''''", "{a=s:\"\"}"),
            ("a = +1_000\nb = -17\nc = 0xDEAD_beef\nd = 0o17\ne = 0b101", "{a=1000,b=-17,c=3735928559,d=15,e=5}"),
            ("a = 1.5\nb = -2e3\nc = 6.6_2e-1\nd = inf\ne = -inf", "{a=f:1.5,b=f:-2000.0,c=f:0.662,d=f:inf,e=f:-inf}"),
            ("a = true\nb = false", "{a=true,b=false}"), ("3 = 1\n-_ = 2", "{3=1,-_=2}"),
            ("a = 9223372036854775807", "{a=9223372036854775807}"),
        ] { #expect(parse(text) == expected, "\(text)") }
    }

    @Test("that is wrong is told with line, column and what was expected")
    func invalid() {
        for (text, expected) in [
            ("a", "1:2 expected =, found the end of the file"),
            ("a = ", "1:5 expected a value, found the end of the file"),
            ("a = 1 b = 2", "1:7 expected the end of the line, found \"b\""),
            ("\n= 1", "2:1 expected a name, found \"=\""),
            ("a = [}]", "1:6 expected a value, found \"}\""), ("a = [1 2]", "1:8 expected , or ], found \"2\""),
            ("a = { b = 1", "1:12 expected , or }, found the end of the file"),
            ("[a", "1:3 expected ], found the end of the file"),
            ("[.]", "1:2 expected a name, found \".\""), ("[[a]", "1:5 expected ]], found the end of the file"),
            ("a = 1\na = 2", "2:1 a is defined already"), ("[a]\n[a]", "2:1 a is defined already"),
            ("a = 1\n[a]", "2:1 a is defined already, and not as a table"),
            ("a = { b = 1 }\na.c = 2", "2:1 a is defined already, and not as a table"),
            ("[[a]]\n[a]", "2:1 a is defined already, and not as a table"),
            ("a = []\n[[a]]", "2:1 a is defined already, and not as a list of tables"),
            ("[a.b]\nc = 1\n[a]\nb.d = 1", "4:1 b is defined already"),
            ("a = \"x\ny\"", "1:7 expected a closing quotation mark, found the end of the line"),
            ("a = \"\\x\"", "1:7 expected an escape such as \\n, \\\" or \\u0041, found \"x\""),
            ("a = \"\\ud800\"", "1:7 expected 4 hexadecimal digits of a character"),
            ("a = \"\u{1}\"", "1:6 a string holds a control character; write it as an escape"),
            ("# \u{0}", "1:3 a comment holds a control character"),
            ("a = '''x", "1:9 expected three closing ', found the end of the file"),
            (
                "a = 2026-01-01",
                "1:5 expected a value, found 2026-01-01: a string has quotation marks, a date is not known"
            ),
            ("a = 01", "1:5 expected a value, found 01: a string has quotation marks, a date is not known"),
            ("a = 1.", "1:5 expected a value, found 1.: a string has quotation marks, a date is not known"),
            ("a = 1__0", "1:5 expected a value, found 1__0: a string has quotation marks, a date is not known"),
            (
                "a = 99999999999999999999",
                "1:5 expected a value, found 99999999999999999999: a string has quotation marks, a date is not known"
            ),
            ("a = 0x-5", "1:5 expected a value, found 0x-5: a string has quotation marks, a date is not known"),
            ("a = 1_e5", "1:5 expected a value, found 1_e5: a string has quotation marks, a date is not known"),
            (String(repeating: "a.", count: 1_000) + "b = 1", "1:130 names are nested too deeply"),
            ("a = yes", "1:5 expected a value, found yes: a string has quotation marks, a date is not known"),
            ("a = \(String(repeating: "[", count: 100))", "1:69 values are nested too deeply"),
        ] { #expect(parse(text) == expected, "\(text)") }
    }

    @Test("gives what Python's tomllib gives, on documents made by chance")
    func comparison() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        let parts = [
            "a", "b", ".", "=", " = ", "\"x\"", "'y'", "\n", "\n", "[", "]", "[[", "]]", "{", "}", ",", "1", "-2",
            "0x1f", "1.5",
            "1e3", "true", "#c\n", "\"\"\"", "'''", "\\", " ", "\t", "[a]\n", "[b.a]\n", "a = 1\n", "b.a = \"z\"\n",
            "a = [1, 2]\n", "b = {a = 1}\n", "[[a]]\n", "é", "_", "0", "inf",
        ]
        var texts: [String] = []
        for _ in 0..<6_000 {
            texts.append(
                (0..<Int.random(in: 1...9, using: &random)).map { _ in parts.randomElement(using: &random) ?? "" }
                    .joined())
        }
        let folder = try Workplace()
        try JSONEncoder().encode(texts).write(to: folder.url.appending(path: "texts.json"))
        let program = """
            import json, math, tomllib
            def show(v):
                if isinstance(v, bool): return "true" if v else "false"
                if isinstance(v, str): return "s:" + v
                if isinstance(v, int): return str(v)
                if isinstance(v, float): return "f:" + ("nan" if math.isnan(v) else "%.12g" % v)
                if isinstance(v, list): return "[" + ",".join(map(show, v)) + "]"
                return "{" + ",".join(sorted(k + "=" + show(x) for k, x in v.items())) + "}"
            out = []
            for text in json.load(open("texts.json")):
                try: out.append(show(tomllib.loads(text)))
                except Exception: out.append("error")
            json.dump(out, open("out.json", "w"))
            """
        try program.write(toFile: folder.path("run.py"), atomically: true, encoding: .utf8)
        let result = try shell("python3 run.py", in: folder.url)
        try #require(result.code == 0, "\(result.errors)")
        let expected = try JSONDecoder().decode(
            [String].self, from: try Data(contentsOf: folder.url.appending(path: "out.json")))
        func show(_ value: TOMLValue) -> String {
            switch value {
            case .string(let text): "s:" + text
            case .integer(let number): "\(number)"
            case .float(let number): "f:" + String(format: "%.12g", number).replacing("-nan", with: "nan")
            case .boolean(let isOn): "\(isOn)"
            case .array(let nodes): "[" + nodes.map { show($0.value) }.joined(separator: ",") + "]"
            case .table(let table):
                "{"
                    + table.entries.map { "\($0.key)=" + show($0.node.value) }.sorted {
                        Array($0.unicodeScalars.map(\.value)).lexicographicallyPrecedes(
                            Array($1.unicodeScalars.map(\.value)))
                    }.joined(separator: ",") + "}"
            }
        }
        var valid = 0
        for (text, wanted) in zip(texts, expected) {
            var found = "error"
            if let table = try? TOMLParser.parse(text) { found = show(.table(table)) }
            #expect(found == wanted, "\(text.debugDescription)")
            if wanted != "error" { valid += 1 }
        }
        #expect(valid > 200, "only \(valid) of the documents were TOML")
    }
}
