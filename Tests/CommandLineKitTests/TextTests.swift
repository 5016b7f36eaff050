import Testing

@testable import CommandLineKit

@Suite("Times on the command line")
struct TimeTests {
    /// 2026-03-02T10:30:00Z
    private let now: Int64 = 1_772_447_400_000_000_000
    private let second: Int64 = 1_000_000_000

    @Test("are read in every form")
    func moments() throws {
        let hour = 3_600 * second
        let expected: [(String, Int64)] = [
            ("now", now), ("today", now - 10 * hour - hour / 2), ("2h", now - 2 * hour), ("-2h", now - 2 * hour),
            ("1h30m", now - hour - hour / 2), ("7d", now - 168 * hour), ("PT2H", now - 2 * hour),
            ("P1DT12H", now - 36 * hour), ("1.5s", now - second - second / 2), ("0s", now),
            ("@1772447400", now), ("@1772447400.5", now + second / 2), ("@-1", -second),
            ("2026-03-02T10:30:00Z", now), ("2026-03-02T11:30:00+01:00", now), ("2026-03-02t10:30:00z", now),
            ("2026-03-02 10:30Z", now), ("2026-03-02T10:30:00.000000001Z", now + 1),
            ("2026-03-02", now - 10 * hour - hour / 2), ("1969-12-31T23:59:59Z", -second),
            ("2000-02-29", 951_782_400 * second),
        ]
        for (text, wanted) in expected { #expect(try TimeExpression.moment(text, now: now) == wanted, "\(text)") }
    }

    @Test(
        "that do not parse are refused",
        arguments: [
            "", "x", "2h3", "h", "2026-02-30", "2026-13-01", "2026-03-02T25:00:00Z", "2026-03-02T10:30:00",
            "2026-03-02T10:30:00Zx", "@", "@1x", "P", "PT", "99999999999999999999h", "1e3s", "+2h", "2026-3-2", "--2h",
            "2026-03-02T10:30:00.Z", "٣h", "@9223372036854775807",
        ])
    func refused(_ text: String) {
        #expect(throws: UsageError.self) { try TimeExpression.moment(text, now: now) }
    }

    @Test("durations are at least zero")
    func durations() throws {
        #expect(try TimeExpression.duration("500ms") == second / 2)
        #expect(try TimeExpression.duration("1m") == 60 * second)
        for text in ["-1s", "", "10", "now"] {
            #expect(throws: UsageError.self) { try TimeExpression.duration(text) }
        }
    }

    @Test(
        "are written as they were asked for, and RFC 3339 is read back",
        arguments: [0, 1, -1, 1_772_447_400_000_000_000, Int64.max, -62_000_000_000_000_000] as [Int64])
    func written(_ time: Int64) throws {
        #expect(try TimeExpression.moment(TimeStyle.rfc3339.text(time), now: 0) == time)
        #expect(TimeStyle.unix.text(time) == String(time))
    }

    @Test("are relative in words")
    func relative() {
        let style = TimeStyle.relative(to: now)
        #expect(style.text(now) == "now")
        #expect(style.text(now - 90 * second) == "1 minute ago")
        #expect(style.text(now - 7_300 * second) == "2 hours ago")
        #expect(style.text(now + 5 * second) == "in 5 seconds")
        #expect(style.text(.min).hasSuffix("Z"))
    }
}

@Suite("Text on a terminal")
struct TextTests {
    @Test("wide characters take two columns, combining ones none")
    func widths() {
        for (text, width) in [
            ("", 0), ("abc", 3), ("漢字", 4), ("é", 1), ("e\u{301}", 1), ("👩‍👩‍👧", 2), ("🇩🇪", 2), ("한", 2), ("ﾊ", 1),
        ] {
            #expect(TextWidth.columns(text) == width, "\(text)")
        }
        #expect(TextWidth.prefix("漢字", columns: 3) == "漢")
    }

    @Test("what could move the cursor is written out")
    func escapes() {
        #expect(Escape.shown("a\nb\u{1b}[31m\u{7f}\u{202e}\\") == "a\\nb\\u{1b}[31m\\u{7f}\\u{202e}\\\\")
        #expect(Escape.shown("say \"x\"", quoted: true) == "\"say \\\"x\\\"\"")
        #expect(Escape.shown("👩‍👩‍👧 é 漢") == "👩‍👩‍👧 é 漢")
    }

    @Test("JSON is escaped and keeps its order")
    func json() {
        let value = OutputValue.object([
            .init("b", .text("a\"\\\n\u{1}\u{2028}é👩")), .init("a", .identifier(18_446_744_073_709_551_615 as UInt64)),
            .init("n", .null), .init("x", .real(.nan)), .init("t", .time(0)),
            .init("m", .message(typeURL: "t/x.Y", json: "{}")), .init("l", .array([.number(1), .bool(false)])),
        ])
        #expect(
            value.json(.rfc3339)
                == #"{"b":"a\"\\\n\u0001\u2028é👩","a":"18446744073709551615","n":null,"x":null,"t":"1970-01-01T00:00:00.000000000Z","m":{"@type":"t/x.Y"},"l":[1,false]}"#
        )
    }

    @Test("CSV is quoted where it has to be")
    func csv() {
        #expect(CSV.line(["a", "b,c", "d\"e", "f\ng", ""]) == "a,\"b,c\",\"d\"\"e\",\"f\ng\",\r\n")
    }

    @Test("a table fits its width, and numbers stand right")
    func tables() {
        let columns = [Column("id"), Column("count", .right), Column("text")]
        let rows = [["a", "5", String(repeating: "x", count: 100)], ["漢字漢", "1000", ""]]
        let table = TableLayout(columns, fitting: rows, headers: true, width: 40)
        for line in [table.header(color: false)] + rows.map(table.line) {
            #expect(TextWidth.columns(String(line.dropLast())) <= 40)
        }
        #expect(table.header(color: false) == "ID      COUNT  TEXT\n")
        #expect(table.line(rows[1]) == "漢字漢   1000  -\n")
        #expect(table.line(rows[0]).hasSuffix("x…\n"))
        #expect(table.header(color: true).contains("\u{1b}[1m"))
    }

    @Test(
        "columns give way as they can: IDs in the middle, types by their package, sentences below, numbers not at all")
    func narrow() {
        let columns = [
            Column("id", shortening: .middle), Column("seq", .right), Column("type", shortening: .package),
            Column("message", shortening: .wrap),
        ]
        let row = ["order-0000000000000000000042", "1234567890", "bank.v1.AccountCredited", "it is not what it was"]
        func table(_ width: Int?, _ columns: [Column] = columns) -> TableLayout {
            TableLayout(columns, fitting: [row], headers: false, width: width)
        }
        #expect(table(nil).line(row) == row.joined(separator: "  ") + "\n")
        #expect(
            table(80).line(row) == "order-0000000000000000000042  1234567890  AccountCredited  it is not what it was\n")
        #expect(
            table(60).line(row) == """
                order-…00042  1234567890  AccountCred…  it is not what it
                                                        was

                """)
        #expect(table(50).isExpanded)
        #expect(
            table(30).line(row) == """
                id       order-000000000000000
                         0000042
                seq      1234567890
                type     bank.v1.AccountCredit
                         ed
                message  it is not what it was


                """)
        // What is asked for in full is given in full, whatever the width.
        var full = columns
        full[0].shortening = .never(asked: true)
        #expect(table(50, full).line(row).hasPrefix(row[0] + "  1234567890"))
        #expect(TextWidth.lines("漢字 漢字漢字", columns: 5) == ["漢字", "漢字", "漢字"])
        #expect(TextWidth.suffix("a漢字", columns: 3) == "字")
    }

    @Test("a list that is too long to hold is one document all the same, whole or broken off")
    func streamed() async throws {
        struct Trouble: Error {}
        func output(pages: Int, failing: Bool) -> CommandOutput {
            let counter = PageCounter(pages: pages, failing: failing ? Trouble() : nil)
            return CommandOutput(
                fields: [.init("first", .number(1))],
                records: RecordList("items", columns: []) { try await counter.next() }
            ) { CommandOutput.Completion(fields: [.init("next", .null)]) }
        }
        for pages in [1, 5] {
            let sink = MemorySink()
            _ = try await Renderer(RenderOptions(format: .json), to: sink).render(
                output(pages: pages, failing: false), schema: "t/1")
            let isStreamed = pages == 5
            #expect(
                sink.text.hasPrefix(isStreamed ? "{\"schema\":\"t/1\",\"data\":" : "{\"schema\":\"t/1\",\"ok\":true"))
            #expect(sink.text.hasSuffix("}\n") && sink.text.count(where: { $0 == "~" }) == pages * 1_000_000)
        }
        let sink = MemorySink()
        do {
            _ = try await Renderer(RenderOptions(format: .json), to: sink).render(
                output(pages: 5, failing: true), schema: "t/1")
            Issue.record("no error")
        } catch let envelope as InterruptedEnvelope {
            #expect(envelope.cause is Trouble)
            try envelope.finish(with: CommandFailure(.data, "record", "it broke"))
            #expect(sink.text.contains("]},\"ok\":false,\"code\":\"data\",\"changed\":false,\"diagnostics\":[{"))
            #expect(sink.text.hasSuffix("]}\n"))
        }
    }

    private actor PageCounter {
        private var left: Int
        private let failure: (any Error)?

        init(pages: Int, failing failure: (any Error)?) {
            left = pages
            self.failure = failure
        }

        func next() throws -> [OutputValue]? {
            if left == 0 {
                if let failure { throw failure }
                return nil
            }
            left -= 1
            return [.text(String(repeating: "~", count: 1_000_000))]
        }
    }

    @Test("suggestions are near, and only near")
    func suggestions() {
        #expect(Suggestion.nearest(to: "replya", among: ["replay", "retain"]) == "replay")
        #expect(Suggestion.nearest(to: "ent", among: ["entities", "events"]) == "entities")
        #expect(Suggestion.nearest(to: "zzz", among: ["entities"]) == nil)
        #expect(Suggestion.nearest(to: "", among: ["a"]) == nil)
    }
}
