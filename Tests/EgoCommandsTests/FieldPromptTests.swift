import Foundation
import Testing

/// Messages with lists, enumerations and messages within messages, at a terminal.
@Suite("A message that is asked for field by field")
struct FieldPromptTests {
    private func session(in workplace: Workplace) throws -> Terminal {
        let descriptors = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../Fixtures/type.binpb").path
        let binary = egoBinary.deletingLastPathComponent().appending(path: "SchemaOps").path
        let terminal = try Terminal(
            "$EGO init -q >/dev/null && '\(binary)' repl --rw --descriptor-set '\(descriptors)'; echo \"rc $?\"",
            in: workplace.url, columns: 160, rows: 50,
            environment: ["INPUTRC": "/dev/null", "XDG_STATE_HOME": workplace.url.path, "TERM": "dumb"])
        #expect(terminal.wait(for: "=> "), "\(terminal.text)")
        type("\\new order\r", then: "order@0 => ", terminal)
        return terminal
    }

    /// Types, and waits for what answers it.
    private func type(_ text: String, then end: String, _ terminal: Terminal) {
        // Nothing typed: what is wanted may be there already.
        if text.isEmpty {
            #expect(terminal.wait(for: end), "\(terminal.text)")
            return
        }
        let start = terminal.count
        terminal.send(text)
        #expect(terminal.wait(for: end, after: start), "\(text): \(terminal.text)")
    }

    private func leave(_ terminal: Terminal) {
        type("\\q\r", then: "rc 0", terminal)
        #expect(terminal.finish() == 0)
    }

    @Test("takes lists until Ctrl-D, messages within it, and enumerations by name")
    func nested() throws {
        let workplace = try Workplace()
        let terminal = try session(in: workplace)
        type("Type\r", then: "name (string) => ", terminal)
        type("shop.Order\r", then: "fields[0] (google.protobuf.Field, Ctrl-D ends, { or JSON) => ", terminal)
        // Names that are too many for a prompt stand above it.
        type("{\r", then: "  TYPE_UNKNOWN, TYPE_DOUBLE, ", terminal)
        type("", then: "fields[0].kind (google.protobuf.Field.Kind, default TYPE_UNKNOWN) => ", terminal)
        // By name, with Tab; what is none is asked for again.
        #expect(terminal.complete("TYPE_STR", to: "TYPE_STRING"), "\(terminal.text)")
        type("\r", then: "fields[0].cardinality (", terminal)
        type("twice\r", then: "\"twice\" is none of CARDINALITY_UNKNOWN, ", terminal)
        type("", then: "default CARDINALITY_UNKNOWN) => ", terminal)
        type("CARDINALITY_REQUIRED\r", then: "number (int32, default 0) => ", terminal)
        type("one\r", then: "\"one\" is no whole number", terminal)
        type("1\r", then: "name (string) => ", terminal)
        type("customer\r", then: "type_url (string) => ", terminal)
        type("\r", then: "oneof_index (int32, default 0) => ", terminal)
        type("\r", then: "packed (bool, default false) => ", terminal)
        type("yes\r", then: "options[0] (", terminal)
        type("\u{4}", then: "json_name (string) => ", terminal)
        type("\r", then: "default_value (string) => ", terminal)
        type("\r", then: "fields[1] (", terminal)
        type("{\"name\": \"note\"}\r", then: "fields[2] (", terminal)
        type("\u{4}", then: "oneofs[0] (string, Ctrl-D ends) => ", terminal)
        type("first\r", then: "oneofs[1] (string, Ctrl-D ends) => ", terminal)
        type("\u{4}", then: "options[0] (", terminal)
        type("\u{4}", then: "source_context (google.protobuf.SourceContext, { to fill it in) => ", terminal)
        type("{\r", then: "source_context.file_name (string) => ", terminal)
        type("order.proto\r", then: "syntax (", terminal)
        type("SYNTAX_PROTO3\r", then: "seq 0 -> 1", terminal)
        type("\\state \\g |grep -o '\"fields.*'\r", then: "order@1 => ", terminal)
        for part in [
            "{\"kind\":\"TYPE_STRING\",\"cardinality\":\"CARDINALITY_REQUIRED\",\"number\":1,\"name\":\"customer\",\"packed\":true}",
            "{\"name\":\"note\"}", "\"oneofs\":[\"first\"]", "\"sourceContext\":{\"fileName\":\"order.proto\"}",
            "\"syntax\":\"SYNTAX_PROTO3\"",
        ] {
            #expect(terminal.text.contains(part), "\(part): \(terminal.text)")
        }
        leave(terminal)
    }

    @Test("is dropped with Ctrl-C at any field, and the session goes on")
    func dropped() throws {
        let workplace = try Workplace()
        let terminal = try session(in: workplace)
        type("Type\r", then: "name (string) => ", terminal)
        type("shop.Order\r", then: "fields[0] (", terminal)
        type("{\r", then: "kind (", terminal)
        type("\u{3}", then: "the message was dropped", terminal)
        type("", then: "order@0 => ", terminal)
        type("Type name: \"a\"\r", then: "order@1 => ", terminal)
        leave(terminal)
    }

    @Test("completes fields, nested fields, enumerations and truth values")
    func completion() throws {
        let workplace = try Workplace()
        let terminal = try session(in: workplace)
        func completed(_ typed: String, _ wanted: String) {
            #expect(terminal.complete(typed, to: wanted), "\(typed): \(terminal.text)")
            type("\u{3}", then: "order@0 => ", terminal)
        }
        completed("Type {\"na", "{\"name\": ")
        completed("Type {\"name\": \"a\", \"fie", "\"fields\": ")
        completed("Type {\"fields\": [{\"card", "\"cardinality\": ")
        completed("Type {\"fields\": [{\"cardinality\": \"CARDINALITY_OPT", "\"CARDINALITY_OPTIONAL\"")
        completed("Type {\"fields\": [{\"packed\": t", "\"packed\": true")
        completed("Type {\"sourceContext\": {\"fi", "{\"fileName\": ")
        completed("Type sou", "source_context { ")
        completed("Type source_context { fi", "file_name: ")
        completed("Type name: \"a\" syntax: SYNTAX_PROTO2 one", "oneofs: ")
        completed("Type fields { cardinality: CARDINALITY_REP", "CARDINALITY_REPEATED")
        // What is there already is not offered again.
        completed("Type {\"name\": \"a\", \"na", "\u{7}")
        leave(terminal)
    }
}
