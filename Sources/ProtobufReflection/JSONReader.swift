extension DynamicMessage {
    /// Reads a message from protobuf JSON.
    ///
    /// - Throws: ``ReflectionError`` when it is no JSON, or does not fit the type.
    public init(_ type: MessageDescriptor, json text: String) throws(ReflectionError) {
        self.init(type)
        var reader = JSONReader(scanner: JSONScanner(text))
        if reader.scanner.peek() == UInt8(ascii: "n"), type.info.wellKnown != .value { throw JSONReader.unfit }
        try reader.read(&self)
        try reader.scanner.expectEnd()
    }
}

/// Reads messages from protobuf JSON (protobuf.dev/programming-guides/json).
struct JSONReader {
    var scanner: JSONScanner

    static let unfit = ReflectionError("the JSON does not fit the message")

    private static func unfit(_ field: FieldInfo) -> ReflectionError {
        ReflectionError("the JSON of \(field.fullName) does not fit it")
    }

    /// Adds what the JSON has to a message.
    mutating func read(_ message: inout DynamicMessage) throws(ReflectionError) {
        switch message.type.info.wellKnown {
        case nil: try object(&message)
        case .any: try any(&message)
        case .timestamp:
            guard let (seconds, nanoseconds) = TimeText.timestamp(try scanner.string()) else { throw Self.unfit }
            set(&message, seconds, nanoseconds)
        case .duration:
            guard let (seconds, nanoseconds) = TimeText.duration(try scanner.string()) else { throw Self.unfit }
            set(&message, seconds, nanoseconds)
        case .fieldMask: try fieldMask(&message)
        case .structure:
            guard let field = message.type.field(1) else { return }
            try map(&message, field)
        case .listValue:
            guard let field = message.type.field(1) else { return }
            try scanner.enter()
            try list(&message, field)
            scanner.leave()
        case .value: try value(&message)
        case .wrapper:
            guard let field = message.type.field(1), let value = try single(field, in: message) else {
                throw Self.unfit
            }
            message.set(value, of: field)
        }
    }

    private func set(_ message: inout DynamicMessage, _ seconds: Int64, _ nanoseconds: Int64) {
        message.values[1] = seconds == 0 ? nil : .signed(seconds)
        message.values[2] = nanoseconds == 0 ? nil : .signed(nanoseconds)
    }

    // MARK: Messages

    private mutating func object(
        _ message: inout DynamicMessage, without ignored: String? = nil
    ) throws(ReflectionError) {
        var target = message
        var oneofs: Set<Int> = []
        try scanner.object { (scanner, key) throws(ReflectionError) in
            if key == ignored {
                try scanner.skip()
                return
            }
            guard let field = Self.field(key, of: target.type) else {
                throw ReflectionError("\(target.type.fullName) has no field of that name")
            }
            var reader = JSONReader(scanner: scanner)
            try reader.member(field, of: &target, &oneofs)
            scanner = reader.scanner
        }
        message = target
    }

    private static func field(_ key: String, of type: MessageDescriptor) -> FieldInfo? {
        if let field = type.info.fieldsByJSONName[key] { return field }
        guard key.hasPrefix("["), key.hasSuffix("]"),
            let (index, field) = type.schema.extensionsByName[String(key.dropFirst().dropLast())], index == type.index
        else { return nil }
        return field
    }

    private mutating func member(
        _ field: FieldInfo, of message: inout DynamicMessage, _ oneofs: inout Set<Int>
    ) throws(ReflectionError) {
        if scanner.peek() == UInt8(ascii: "n"), !takesNull(field, message.type) {
            guard scanner.take(word: "null") else { throw JSONScanner.malformed }
            if field.oneof == nil, !field.isRepeated { message.values[field.number] = nil }
            return
        }
        if field.mapEntry != nil {
            try map(&message, field)
            return
        }
        if field.isRepeated {
            try list(&message, field)
            return
        }
        if let oneof = field.oneof, !oneofs.insert(oneof).inserted {
            throw ReflectionError("two fields of one oneof are given, \(field.fullName) among them")
        }
        guard let value = try single(field, in: message) else { throw Self.unfit(field) }
        message.set(value, of: field)
    }

    /// Whether `null` is a value of the field.
    private func takesNull(_ field: FieldInfo, _ type: MessageDescriptor) -> Bool {
        if field.isRepeated { return false }
        return isNullable(field.kind, type)
    }

    private func isNullable(_ kind: FieldKind, _ type: MessageDescriptor) -> Bool {
        switch kind {
        case .message(let index): type.message(index).info.wellKnown == .value
        case .enumeration(let index): type.schema.enums[index].fullName == "google.protobuf.NullValue"
        default: false
        }
    }

    private mutating func list(_ message: inout DynamicMessage, _ field: FieldInfo) throws(ReflectionError) {
        var values: [DynamicMessage.Value] = []
        let empty = DynamicMessage(message.type)
        try scanner.array { (scanner) throws(ReflectionError) in
            var reader = JSONReader(scanner: scanner)
            guard let value = try reader.single(field, in: empty) else { throw Self.unfit(field) }
            values.append(value)
            scanner = reader.scanner
        }
        message.append(values, to: field)
    }

    private mutating func map(_ message: inout DynamicMessage, _ field: FieldInfo) throws(ReflectionError) {
        guard let index = field.mapEntry else { throw Self.unfit(field) }
        let entry = DynamicMessage(message.type.message(index))
        guard let keyField = entry.type.field(1), let valueField = entry.type.field(2) else { throw Self.unfit(field) }
        var target = message
        var seen: Set<DynamicMessage.MapKey> = []
        try scanner.object { (scanner, text) throws(ReflectionError) in
            guard let key = Self.key(text, keyField.kind), seen.insert(key).inserted else { throw Self.unfit(field) }
            var reader = JSONReader(scanner: scanner)
            guard let value = try reader.single(valueField, in: entry) else { throw Self.unfit(field) }
            target.put(value, at: key, of: field)
            scanner = reader.scanner
        }
        message = target
    }

    private mutating func fieldMask(_ message: inout DynamicMessage) throws(ReflectionError) {
        let text = try scanner.string()
        guard !text.isEmpty, let field = message.type.field(1) else { return }
        var paths: [DynamicMessage.Value] = []
        for name in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let path = FieldPath.snakeCase(String(name)) else { throw Self.unfit }
            paths.append(.string(path))
        }
        message.append(paths, to: field)
    }

    private mutating func value(_ message: inout DynamicMessage) throws(ReflectionError) {
        try scanner.enter()
        defer { scanner.leave() }
        let number: Int
        switch scanner.peek() {
        case UInt8(ascii: "n"): number = 1
        case UInt8(ascii: "\""): number = 3
        case UInt8(ascii: "t"), UInt8(ascii: "f"): number = 4
        case UInt8(ascii: "{"): number = 5
        case UInt8(ascii: "["): number = 6
        default: number = 2
        }
        guard let field = message.type.field(number) else { throw Self.unfit }
        message.values = [:]
        if number == 3 {
            message.set(.string(try scanner.string()), of: field)
        } else if let value = try single(field, in: message) {
            message.set(value, of: field)
        } else {
            throw Self.unfit
        }
    }

    private mutating func any(_ message: inout DynamicMessage) throws(ReflectionError) {
        let start = scanner
        var url: String?
        var count = 0
        try scanner.object { (scanner, key) throws(ReflectionError) in
            count += 1
            if key == "@type" { url = try scanner.string() } else { try scanner.skip() }
        }
        message.values = [:]
        if count == 0 { return }
        guard let url, let slash = url.lastIndex(of: "/"),
            let type = message.type.message(named: String(url[url.index(after: slash)...]))
        else { throw ReflectionError("an Any names no type of the set") }
        var content = DynamicMessage(type)
        let end = scanner.position
        scanner = start
        if type.info.wellKnown == nil {
            try object(&content, without: "@type")
        } else {
            try wrapped(&content)
        }
        guard scanner.position == end, let urlField = message.type.field(1), let valueField = message.type.field(2)
        else {
            throw Self.unfit
        }
        var encoder = WireEncoder()
        encoder.write(content)
        message.set(.string(url), of: urlField)
        message.set(.bytes(encoder.bytes), of: valueField)
    }

    /// A message with a form of its own is in the member `value` of an `Any`.
    private mutating func wrapped(_ content: inout DynamicMessage) throws(ReflectionError) {
        var target = content
        var isThere = false
        try scanner.object { (scanner, key) throws(ReflectionError) in
            switch key {
            case "@type": try scanner.skip()
            case "value":
                var reader = JSONReader(scanner: scanner)
                if reader.scanner.peek() == UInt8(ascii: "n"), target.type.info.wellKnown != .value { throw Self.unfit }
                try reader.read(&target)
                scanner = reader.scanner
                isThere = true
            default: throw Self.unfit
            }
        }
        if !isThere { throw Self.unfit }
        content = target
    }

    // MARK: Values

    /// One value; nil when it does not fit.
    private mutating func single(
        _ field: FieldInfo, in message: DynamicMessage
    ) throws(ReflectionError) -> DynamicMessage.Value? {
        switch field.kind {
        case .message(let index), .group(let index):
            var inner =
                field.isRepeated ? DynamicMessage(message.type.message(index)) : message.message(of: field, index)
            if scanner.peek() == UInt8(ascii: "n"), inner.type.info.wellKnown != .value { return nil }
            try read(&inner)
            return .message(inner)
        case .bool:
            if scanner.take(word: "true") { return .bool(true) }
            return scanner.take(word: "false") ? .bool(false) : nil
        case .string: return .string(try scanner.string())
        case .bytes: return Base64.decode(try scanner.string().utf8).map { .bytes($0) }
        case .enumeration(let index): return try enumeration(message.type.schema.enums[index])
        case .float, .double: return try floatingPoint(field.kind)
        default:
            let text = scanner.peek() == UInt8(ascii: "\"") ? try scanner.string() : try scanner.number()
            return JSONNumber.integer(text, field.kind)
        }
    }

    private mutating func enumeration(_ known: EnumInfo) throws(ReflectionError) -> DynamicMessage.Value? {
        switch scanner.peek() {
        case UInt8(ascii: "n") where known.fullName == "google.protobuf.NullValue":
            return scanner.take(word: "null") ? .signed(0) : nil
        case UInt8(ascii: "\""): return known.numbers[try scanner.string()].map { .signed(Int64($0)) }
        default:
            guard case .signed(let number)? = JSONNumber.integer(try scanner.number(), .int32) else { return nil }
            return known.isClosed && known.names[Int32(number)] == nil ? nil : .signed(number)
        }
    }

    private mutating func floatingPoint(_ kind: FieldKind) throws(ReflectionError) -> DynamicMessage.Value? {
        let isQuoted = scanner.peek() == UInt8(ascii: "\"")
        let text = isQuoted ? try scanner.string() : try scanner.number()
        var special: Double?
        if isQuoted {
            switch text {
            case "NaN": special = .nan
            case "Infinity", "Inf": special = .infinity
            case "-Infinity", "-Inf": special = -.infinity
            default: break
            }
        }
        if special == nil, !JSONNumber.isNumber(text) { return nil }
        if kind == .float {
            guard let number = special.map({ Float($0) }) ?? Float(text) else { return nil }
            return special == nil && !number.isFinite ? nil : .float(number)
        }
        guard let number = special ?? Double(text) else { return nil }
        return special == nil && !number.isFinite ? nil : .double(number)
    }

    private static func key(_ text: String, _ kind: FieldKind) -> DynamicMessage.MapKey? {
        switch kind {
        case .string: return .string(Array(text.utf8))
        case .bool: return text == "true" ? .bool(true) : text == "false" ? .bool(false) : nil
        default: return JSONNumber.integer(text, kind).flatMap(DynamicMessage.MapKey.init)
        }
    }
}

/// Numbers as JSON writes them.
enum JSONNumber {
    static func isNumber(_ text: String) -> Bool {
        var scanner = JSONScanner(text)
        return (try? scanner.number()) == text
    }

    /// An integer of a kind, also in the notation of fractions where it is none.
    static func integer(_ text: String, _ kind: FieldKind) -> DynamicMessage.Value? {
        guard isNumber(text) else { return nil }
        let fraction = text.contains { ".eE".contains($0) } ? Double(text) : nil
        switch kind {
        case .uint32, .uint64, .fixed32, .fixed64:
            guard !text.hasPrefix("-"), let number = UInt64(text) ?? fraction.flatMap({ UInt64(exactly: $0) })
            else {
                return nil
            }
            let isSmall = kind == .uint32 || kind == .fixed32
            return isSmall && number > UInt64(UInt32.max) ? nil : .unsigned(number)
        default:
            guard let number = Int64(text) ?? fraction.flatMap({ Int64(exactly: $0) }) else { return nil }
            switch kind {
            case .int32, .sint32, .sfixed32: return Int32(exactly: number) == nil ? nil : .signed(number)
            default: return .signed(number)
            }
        }
    }
}
