import LineEditor
import ProtobufReflection

/// What may stand at the end of a message that is being typed, in JSON or in the text format.
struct MessageCompletion {
    private let type: MessageDescriptor

    init(_ type: MessageDescriptor) { self.type = type }

    /// What may stand at the end of a content, of which the start was typed.
    func completion(_ content: String) -> LineCompletion {
        let isJSON = content.drop(while: \.isWhitespace).hasPrefix("{")
        var cursor = Cursor(type, isJSON: isJSON)
        for byte in content.utf8 { cursor.take(byte) }
        return isJSON ? json(cursor) : text(cursor)
    }

    private func json(_ cursor: Cursor) -> LineCompletion {
        guard let frame = cursor.frames.last else { return .none }
        let typed = String(decoding: cursor.word, as: UTF8.self)
        let start = cursor.wordStart
        if frame.isExpectingKey {
            guard let message = frame.message, frame.field?.mapKey == nil || frame.isMessage else { return .none }
            let names = message.fields.map(\.jsonName).filter { $0.hasPrefix(typed) && !frame.names.contains($0) }
            if cursor.isQuoted {
                return LineCompletion(from: start, names, suffix: "\": ")
            }
            guard typed.isEmpty else { return .none }
            return LineCompletion(from: start, names.map { "\"\($0)\"" }, suffix: ": ")
        }
        guard let field = frame.current else { return .none }
        return values(of: field, typed, start, isQuoted: cursor.isQuoted, isJSON: true)
    }

    private func text(_ cursor: Cursor) -> LineCompletion {
        guard let frame = cursor.frames.last, !cursor.isQuoted || frame.current != nil else { return .none }
        let typed = String(decoding: cursor.word, as: UTF8.self)
        if frame.isExpectingKey {
            guard let message = frame.message else { return .none }
            let fields = message.fields.filter {
                $0.name.hasPrefix(typed) && (!frame.names.contains($0.name) || $0.isRepeated || $0.mapKey != nil)
            }
            if fields.count == 1, let field = fields.first {
                return LineCompletion(
                    from: cursor.wordStart, [field.name], suffix: field.message == nil ? ": " : " { ")
            }
            return LineCompletion(from: cursor.wordStart, fields.map(\.name))
        }
        guard let field = frame.current else { return .none }
        return values(of: field, typed, cursor.wordStart, isQuoted: cursor.isQuoted, isJSON: false)
    }

    private func values(
        of field: FieldDescriptor, _ typed: String, _ start: Int, isQuoted: Bool, isJSON: Bool
    ) -> LineCompletion {
        switch field.value {
        case .bool where !isQuoted:
            return LineCompletion(from: start, ["false", "true"].filter { $0.hasPrefix(typed) }, suffix: "")
        case .enumeration(let names):
            let fitting = names.filter { $0.hasPrefix(typed) }
            if !isJSON { return isQuoted ? .none : LineCompletion(from: start, fitting) }
            if isQuoted { return LineCompletion(from: start, fitting, suffix: "\"") }
            return typed.isEmpty ? LineCompletion(from: start, fitting.map { "\"\($0)\"" }, suffix: "") : .none
        case .message where typed.isEmpty && !isQuoted && isJSON && field.message?.hasOwnJSON == false:
            return LineCompletion(from: start, ["{"], suffix: "")
        default: return .none
        }
    }

    /// How far a content was understood.
    private struct Cursor {
        /// One level of brackets.
        struct Frame {
            /// The message whose fields stand here; nil where nothing is known of them.
            var message: MessageDescriptor?
            /// The field whose value this is.
            var field: FieldDescriptor?
            /// Whether it is a message, and not a list or a map.
            var isMessage: Bool
            var isExpectingKey: Bool
            /// The names that stood here already.
            var names: Set<String> = []
            /// The field whose value comes next.
            var current: FieldDescriptor?
        }

        let isJSON: Bool
        var frames: [Frame] = []
        var isQuoted = false
        /// The part of a word that was typed, without its quotation mark.
        var word: [UInt8] = []
        var wordStart = 0
        private var position = 0
        private var quote: UInt8 = 0
        private var isEscaped = false
        private let root: MessageDescriptor

        init(_ type: MessageDescriptor, isJSON: Bool) {
            self.isJSON = isJSON
            root = type
            if !isJSON { frames = [Frame(message: type, isMessage: true, isExpectingKey: true)] }
        }

        mutating func take(_ byte: UInt8) {
            defer { position += 1 }
            if isQuoted {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == quote {
                    isQuoted = false
                    if isJSON, frames.last?.isExpectingKey == true { return }
                    endWord()
                    return
                }
                word.append(byte)
                return
            }
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "'"):
                isQuoted = true
                quote = byte
                word = []
                wordStart = position + 1
            case UInt8(ascii: ":"): key()
            case UInt8(ascii: "{"), UInt8(ascii: "["): open(byte)
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if frames.count > (isJSON ? 0 : 1) { frames.removeLast() }
                endValue()
            case UInt8(ascii: ","), UInt8(ascii: ";"): separator()
            case 0x20, 0x09, 0x0a, 0x0d:
                if !isJSON, !word.isEmpty, frames.last?.isExpectingKey == false { endWord() }
                // A name of the text format may stand before a bracket.
                if word.isEmpty || frames.last?.isExpectingKey != true { beginWord(after: 1) }
            default:
                if word.isEmpty { wordStart = position }
                word.append(byte)
            }
        }

        private mutating func beginWord(after count: Int) {
            word = []
            wordStart = position + count
        }

        /// A value has ended.
        private mutating func endWord() {
            beginWord(after: 1)
            endValue()
        }

        private mutating func endValue() {
            beginWord(after: 1)
            guard var frame = frames.popLast() else { return }
            if !isJSON, frame.isMessage {
                frame.isExpectingKey = true
                frame.current = nil
            }
            frames.append(frame)
        }

        private mutating func key() {
            guard var frame = frames.popLast() else { return }
            let name = String(decoding: word, as: UTF8.self)
            if frame.isExpectingKey {
                frame.isExpectingKey = false
                if frame.isMessage {
                    frame.names.insert(name)
                    frame.current = frame.message?.fields.first { $0.jsonName == name || $0.name == name }
                } else {
                    frame.current = frame.field
                }
            }
            frames.append(frame)
            beginWord(after: 1)
        }

        private mutating func separator() {
            guard var frame = frames.popLast() else { return }
            if frame.isMessage || (frame.field?.mapKey != nil && isJSON) {
                frame.isExpectingKey = true
                frame.current = nil
            }
            frames.append(frame)
            beginWord(after: 1)
        }

        private mutating func open(_ bracket: UInt8) {
            if frames.isEmpty {
                frames.append(Frame(message: root, isMessage: true, isExpectingKey: true))
                beginWord(after: 1)
                return
            }
            // In the text format a message's name may have no colon.
            if !isJSON, frames.last?.isExpectingKey == true, !word.isEmpty { key() }
            guard let parent = frames.last else { return }
            let field = parent.current
            if bracket == UInt8(ascii: "[") {
                frames.append(Frame(field: field, isMessage: false, isExpectingKey: false, current: field))
            } else if let field, isJSON, field.mapKey != nil, parent.isMessage {
                frames.append(Frame(field: field, isMessage: false, isExpectingKey: true))
            } else {
                frames.append(Frame(message: field?.message, isMessage: true, isExpectingKey: true))
            }
            beginWord(after: 1)
        }
    }
}
