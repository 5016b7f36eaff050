extension DynamicMessage {
    /// Reads a message from protobuf text format.
    ///
    /// - Throws: ``ReflectionError`` when it is none, or does not fit the type.
    public init(_ type: MessageDescriptor, text: String) throws(ReflectionError) {
        self.init(type)
        var reader = TextReader(scanner: TextScanner(text))
        try reader.read(&self, until: nil)
    }
}

/// Reads messages from text format (protobuf.dev/reference/protobuf/textformat-spec).
struct TextReader {
    var scanner: TextScanner

    private static func unfit(_ field: FieldInfo) -> ReflectionError {
        ReflectionError("the text of \(field.fullName) does not fit it")
    }

    /// Reads fields up to a closing character, or to the end.
    mutating func read(_ message: inout DynamicMessage, until end: Unicode.Scalar?) throws(ReflectionError) {
        var oneofs: Set<Int> = []
        var isExpanded = false
        var isFirst = true
        while true {
            if let end {
                if scanner.take(end) { return }
                if scanner.peek() == nil { throw TextScanner.malformed }
            } else if scanner.peek() == nil {
                return
            }
            // An `Any` in its expanded form has nothing beside it.
            if isExpanded { throw TextScanner.malformed }
            try member(of: &message, &oneofs, &isExpanded)
            if isExpanded, !isFirst { throw TextScanner.malformed }
            isFirst = false
            if !scanner.take(",") { _ = scanner.take(";") }
        }
    }

    private mutating func member(
        of message: inout DynamicMessage, _ oneofs: inout Set<Int>, _ isExpanded: inout Bool
    ) throws(ReflectionError) {
        let field: FieldInfo
        if scanner.peek() == UInt8(ascii: "[") {
            let name = try scanner.bracketed()
            if message.type.info.wellKnown == .any {
                message.values = [:]
                try expanded(&message, name)
                isExpanded = true
                return
            }
            guard let (index, found) = message.type.schema.extensionsByName[name], index == message.type.index else {
                throw ReflectionError("\(message.type.fullName) has no extension of that name")
            }
            field = found
        } else {
            let name = try scanner.word()
            guard let found = Self.field(name, of: message.type) else {
                guard Self.isReserved(name, in: message.type.info) else {
                    throw ReflectionError("\(message.type.fullName) has no field of that name")
                }
                try scanner.skipField()
                return
            }
            field = found
        }
        if let oneof = field.oneof, !oneofs.insert(oneof).inserted {
            throw ReflectionError("two fields of one oneof are given, \(field.fullName) among them")
        }
        let hasColon = scanner.take(":")
        if field.kind.messageIndex == nil, !hasColon { throw TextScanner.malformed }
        if field.isRepeated, scanner.take("[") {
            if scanner.take("]") { return }
            repeat { try value(of: field, &message) } while scanner.take(",")
            if !scanner.take("]") { throw TextScanner.malformed }
        } else {
            try value(of: field, &message)
        }
    }

    private static func field(_ name: String, of type: MessageDescriptor) -> FieldInfo? {
        if let number = number(name) { return type.info.fieldsByNumber[number] }
        guard let field = type.info.fieldsByTextName[name] else { return nil }
        return field
    }

    /// A field's number; it has no zeros before it.
    private static func number(_ name: String) -> Int? { name.hasPrefix("0") ? nil : Int(name) }

    private static func isReserved(_ name: String, in info: MessageInfo) -> Bool {
        if let number = number(name) { return info.reservedNumbers.contains { $0.contains(number) } }
        return info.reservedNames.contains(name)
    }

    private mutating func expanded(_ message: inout DynamicMessage, _ url: String) throws(ReflectionError) {
        let name = url.lastIndex(of: "/").map { String(url[url.index(after: $0)...]) } ?? url
        guard let type = message.type.message(named: name) else {
            throw ReflectionError("an Any names no type of the set")
        }
        _ = scanner.take(":")
        var content = DynamicMessage(type)
        try nested(&content)
        guard let urlField = message.type.field(1), let valueField = message.type.field(2) else { return }
        var encoder = WireEncoder()
        encoder.write(content)
        message.set(.string(url), of: urlField)
        message.set(.bytes(encoder.bytes), of: valueField)
    }

    /// Reads a message in braces.
    private mutating func nested(_ message: inout DynamicMessage) throws(ReflectionError) {
        let isBrace = scanner.take("{")
        guard isBrace || scanner.take("<") else { throw TextScanner.malformed }
        try scanner.enter()
        try read(&message, until: isBrace ? "}" : ">")
        scanner.leave()
    }

    private mutating func value(of field: FieldInfo, _ message: inout DynamicMessage) throws(ReflectionError) {
        if let index = field.mapEntry {
            try entry(index, of: field, &message)
        } else if let index = field.kind.messageIndex {
            var inner =
                field.isRepeated ? DynamicMessage(message.type.message(index)) : message.message(of: field, index)
            try nested(&inner)
            if field.isRepeated {
                message.append([.message(inner)], to: field)
            } else {
                message.set(.message(inner), of: field)
            }
        } else {
            guard let value = try scalar(field.kind, message.type) else { throw Self.unfit(field) }
            if field.isRepeated { message.append([value], to: field) } else { message.set(value, of: field) }
        }
    }

    private mutating func entry(
        _ index: Int, of field: FieldInfo, _ message: inout DynamicMessage
    ) throws(ReflectionError) {
        let entry = message.type.message(index)
        guard let keyField = entry.field(1), let valueField = entry.field(2) else { throw Self.unfit(field) }
        let isBrace = scanner.take("{")
        guard isBrace || scanner.take("<") else { throw TextScanner.malformed }
        try scanner.enter()
        var (key, value): (DynamicMessage.Value?, DynamicMessage.Value?)
        while !scanner.take(isBrace ? "}" : ">") {
            let name = try scanner.word()
            let hasColon = scanner.take(":")
            switch name {
            case "key", "1":
                if !hasColon { throw TextScanner.malformed }
                key = try scalar(keyField.kind, entry)
                if key == nil { throw Self.unfit(field) }
            case "value", "2":
                if let inner = valueField.kind.messageIndex {
                    var content = DynamicMessage(entry.message(inner))
                    try nested(&content)
                    value = .message(content)
                } else {
                    if !hasColon { throw TextScanner.malformed }
                    value = try scalar(valueField.kind, entry)
                    if value == nil { throw Self.unfit(field) }
                }
            default: throw Self.unfit(field)
            }
            if !scanner.take(",") { _ = scanner.take(";") }
        }
        scanner.leave()
        guard let key, let value, let mapKey = DynamicMessage.MapKey(key) else { throw Self.unfit(field) }
        message.put(value, at: mapKey, of: field)
    }

    // MARK: Scalars

    private mutating func scalar(
        _ kind: FieldKind, _ type: MessageDescriptor
    ) throws(ReflectionError) -> DynamicMessage.Value? {
        switch kind {
        case .string:
            return String(validating: try scanner.quoted(), as: UTF8.self).map { .string($0) }
        case .bytes: return .bytes(try scanner.quoted())
        case .bool:
            switch try scanner.bare() {
            case "true", "True", "t", "T", "1": return .bool(true)
            case "false", "False", "f", "F", "0": return .bool(false)
            default: return nil
            }
        case .float, .double: return Self.floatingPoint(try scanner.bare(), kind)
        case .enumeration(let index): return Self.enumeration(try scanner.bare(), type.schema.enums[index])
        default: return Self.integer(try scanner.bare(), kind)
        }
    }

    private static func enumeration(_ text: String, _ known: EnumInfo) -> DynamicMessage.Value? {
        if let number = known.numbers[text] { return .signed(Int64(number)) }
        guard case .signed(let number)? = integer(text, .int32) else { return nil }
        return known.isClosed && known.names[Int32(number)] == nil ? nil : .signed(number)
    }

    private static func integer(_ text: String, _ kind: FieldKind) -> DynamicMessage.Value? {
        let isNegative = text.hasPrefix("-")
        let digits = isNegative ? text.dropFirst() : Substring(text)
        guard let first = digits.utf8.first, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else { return nil }
        let magnitude: UInt64?
        if digits.hasPrefix("0x") || digits.hasPrefix("0X") {
            magnitude = digits.dropFirst(2).first == "-" ? nil : UInt64(digits.dropFirst(2), radix: 16)
        } else if digits.count > 1, first == UInt8(ascii: "0") {
            magnitude = UInt64(digits, radix: 8)
        } else {
            magnitude = UInt64(digits)
        }
        guard let magnitude else { return nil }
        switch kind {
        case .uint32, .uint64, .fixed32, .fixed64:
            let isSmall = kind == .uint32 || kind == .fixed32
            return isNegative || (isSmall && magnitude > UInt64(UInt32.max)) ? nil : .unsigned(magnitude)
        default:
            let limit = UInt64(Int64.max) + (isNegative ? 1 : 0)
            guard magnitude <= limit else { return nil }
            let number = isNegative ? Int64(truncatingIfNeeded: 0 &- magnitude) : Int64(magnitude)
            switch kind {
            case .int32, .sint32, .sfixed32, .enumeration: return Int32(exactly: number) == nil ? nil : .signed(number)
            default: return .signed(number)
            }
        }
    }

    private static func floatingPoint(_ text: String, _ kind: FieldKind) -> DynamicMessage.Value? {
        let lower = text.lowercased()
        let isNegative = lower.hasPrefix("-")
        var digits = isNegative ? lower.dropFirst() : Substring(lower)
        var special: Double?
        switch digits {
        case "inf", "infinity": special = isNegative ? -.infinity : .infinity
        case "nan": special = .nan
        default: break
        }
        if special == nil {
            if digits.hasSuffix("f") { digits.removeLast() }
            // A zero before other digits makes an octal number, which is no fraction.
            let isOctal =
                digits.utf8.first == UInt8(ascii: "0")
                && (digits.utf8.dropFirst().first.map { (0x30...0x39).contains($0) } ?? false)
            guard !isOctal, let first = digits.utf8.first, first < 0x3a,
                digits.utf8.allSatisfy({ byte in
                    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                        || [UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "+"), UInt8(ascii: "-")].contains(byte)
                })
            else { return nil }
        }
        let plain = (isNegative ? "-" : "") + digits
        if kind == .float { return (special.map { Float($0) } ?? Float(plain)).map { .float($0) } }
        return (special ?? Double(plain)).map { .double($0) }
    }
}
