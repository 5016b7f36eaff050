import SwiftProtobuf

/// Checks the files of a set and links their declarations.
struct SchemaLinker {
    private enum Symbol {
        case message(Int)
        case enumeration(Int)
    }

    /// A message before its fields are linked.
    private struct Pending {
        var proto: Google_Protobuf_DescriptorProto
        var features: Features
    }

    /// What a file's syntax and edition mean for what is in it (protobuf.dev/editions/features).
    private struct Features {
        var isClosed: Bool
        var hasPresence: Bool
        var isPacked: Bool
        var isDelimited = false

        init(_ file: Google_Protobuf_FileDescriptorProto) throws(DescriptorError) {
            switch file.syntax {
            case "", "proto2": (isClosed, hasPresence, isPacked) = (true, true, false)
            case "proto3": (isClosed, hasPresence, isPacked) = (false, false, true)
            case "editions": (isClosed, hasPresence, isPacked) = (false, true, true)
            default: throw DescriptorError("\(file.name): unknown syntax")
            }
            apply(file.options.features)
        }

        mutating func apply(_ set: Google_Protobuf_FeatureSet) {
            if set.hasEnumType { isClosed = set.enumType == .closed }
            if set.hasFieldPresence { hasPresence = set.fieldPresence != .implicit }
            if set.hasRepeatedFieldEncoding { isPacked = set.repeatedFieldEncoding == .packed }
            if set.hasMessageEncoding { isDelimited = set.messageEncoding == .delimited }
        }

        func with(_ set: Google_Protobuf_FeatureSet) -> Features {
            var features = self
            features.apply(set)
            return features
        }
    }

    private var symbols: [String: Symbol] = [:]
    private var messages: [MessageInfo] = []
    private var enums: [EnumInfo] = []
    private var pending: [Pending] = []
    private var extensions: [(scope: String, field: Google_Protobuf_FieldDescriptorProto, features: Features)] = []
    private var extensionsByName: [String: (message: Int, field: FieldInfo)] = [:]

    mutating func link(_ files: [Google_Protobuf_FileDescriptorProto]) throws(DescriptorError) -> Schema {
        try Self.checkImports(files)
        for file in files {
            let features = try Features(file)
            for message in file.messageType { try declare(message, in: file.package, features, depth: 0) }
            for enumeration in file.enumType { try declare(enumeration, in: file.package, features) }
            for field in file.extension { extensions.append((file.package, field, features)) }
        }
        for index in messages.indices { try linkFields(of: index) }
        for index in messages.indices where messages[index].isMapEntry { try checkEntry(messages[index]) }
        for index in messages.indices { try markMaps(of: index) }
        for (scope, field, features) in extensions { try linkExtension(field, in: scope, features) }
        for index in messages.indices { messages[index].wellKnown = WellKnownType(messages[index]) }
        try checkWellKnown()
        return Schema(messages: messages, enums: enums, extensions: extensionsByName)
    }

    private static func checkImports(_ files: [Google_Protobuf_FileDescriptorProto]) throws(DescriptorError) {
        var byName: [String: Google_Protobuf_FileDescriptorProto] = [:]
        for file in files {
            if file.name.isEmpty { throw DescriptorError("a file has no name") }
            if byName.updateValue(file, forKey: file.name) != nil {
                throw DescriptorError("\(file.name) is there twice")
            }
        }
        for file in files {
            for name in file.dependency where byName[name] == nil {
                throw DescriptorError(
                    "\(file.name) imports \(name), which is not in the set (protoc --include_imports)")
            }
        }
        // Whoever imports nothing that is left goes first; a circle never gets its turn.
        var waiting = byName
        while !waiting.isEmpty {
            let ready = waiting.values.filter { $0.dependency.allSatisfy { waiting[$0] == nil } }
            guard !ready.isEmpty else {
                throw DescriptorError("the imports of \(waiting.keys.sorted()[0]) go round in a circle")
            }
            for file in ready { waiting[file.name] = nil }
        }
    }

    // MARK: Declarations

    private static func joined(_ scope: String, _ name: String) -> String { scope.isEmpty ? name : "\(scope).\(name)" }

    private static func isIdentifier(_ name: String) -> Bool {
        func isLetter(_ byte: UInt8) -> Bool {
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) || byte == UInt8(ascii: "_")
        }
        guard let first = name.utf8.first, isLetter(first) else { return false }
        return name.utf8.allSatisfy { isLetter($0) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    }

    private mutating func add(_ symbol: Symbol, _ name: String) throws(DescriptorError) {
        if symbols.updateValue(symbol, forKey: name) != nil { throw DescriptorError("\(name) is declared twice") }
    }

    private mutating func declare(
        _ proto: Google_Protobuf_DescriptorProto, in scope: String, _ outer: Features, depth: Int
    ) throws(DescriptorError) {
        guard Self.isIdentifier(proto.name) else { throw DescriptorError("a message in \(scope) has no proper name") }
        if depth > 32 { throw DescriptorError("\(scope) nests messages too deep") }
        let name = Self.joined(scope, proto.name)
        let features = outer.with(proto.options.features)
        try add(.message(messages.count), name)
        var info = MessageInfo(fullName: name)
        info.isMapEntry = proto.options.mapEntry
        info.reservedNames = Set(proto.reservedName)
        info.reservedNumbers = try Self.ranges(proto.reservedRange.map { ($0.start, $0.end) }, of: name)
        info.extensionRanges = try Self.ranges(proto.extensionRange.map { ($0.start, $0.end) }, of: name)
        messages.append(info)
        pending.append(Pending(proto: proto, features: features))
        for nested in proto.nestedType { try declare(nested, in: name, features, depth: depth + 1) }
        for enumeration in proto.enumType { try declare(enumeration, in: name, features) }
        for field in proto.extension { extensions.append((name, field, features)) }
    }

    private static func ranges(_ pairs: [(Int32, Int32)], of name: String) throws(DescriptorError) -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        for (start, end) in pairs {
            guard start > 0, end > start else { throw DescriptorError("\(name) has a range of numbers that is none") }
            ranges.append(Int(start)..<Int(end))
        }
        return ranges
    }

    private mutating func declare(
        _ proto: Google_Protobuf_EnumDescriptorProto, in scope: String, _ outer: Features
    ) throws(DescriptorError) {
        let name = Self.joined(scope, proto.name)
        guard Self.isIdentifier(proto.name) else { throw DescriptorError("an enum in \(scope) has no proper name") }
        guard let first = proto.value.first else { throw DescriptorError("\(name) has no values") }
        let features = outer.with(proto.options.features)
        if !features.isClosed, first.number != 0 { throw DescriptorError("the first value of \(name) is not 0") }
        var info = EnumInfo(fullName: name, isClosed: features.isClosed, first: first.number)
        for value in proto.value {
            guard Self.isIdentifier(value.name) else { throw DescriptorError("a value of \(name) has no proper name") }
            if info.numbers.updateValue(value.number, forKey: value.name) != nil {
                throw DescriptorError("\(name).\(value.name) is declared twice")
            }
            if info.names[value.number] == nil { info.names[value.number] = value.name }
        }
        try add(.enumeration(enums.count), name)
        enums.append(info)
    }

    // MARK: Fields

    private func resolve(_ name: String, from scope: String) -> Symbol? {
        if name.hasPrefix(".") { return symbols[String(name.dropFirst())] }
        // From the innermost scope outwards, as protoc looks names up.
        var scope = Substring(scope)
        while true {
            if let found = symbols[Self.joined(String(scope), name)] { return found }
            if scope.isEmpty { return nil }
            scope = scope.lastIndex(of: ".").map { scope[..<$0] } ?? ""
        }
    }

    private func kind(
        of field: Google_Protobuf_FieldDescriptorProto, _ fullName: String, _ scope: String, _ features: Features
    ) throws(DescriptorError) -> FieldKind {
        func reference() throws(DescriptorError) -> Symbol {
            guard let symbol = resolve(field.typeName, from: scope) else {
                throw DescriptorError("\(fullName) is of type \(field.typeName), which is not in the set")
            }
            return symbol
        }
        guard field.hasType else {
            // Without a type, the name tells.
            switch try reference() {
            case .message(let index): return features.isDelimited ? .group(index) : .message(index)
            case .enumeration(let index): return .enumeration(index)
            }
        }
        switch field.type {
        case .double: return .double
        case .float: return .float
        case .int32: return .int32
        case .int64: return .int64
        case .uint32: return .uint32
        case .uint64: return .uint64
        case .sint32: return .sint32
        case .sint64: return .sint64
        case .fixed32: return .fixed32
        case .fixed64: return .fixed64
        case .sfixed32: return .sfixed32
        case .sfixed64: return .sfixed64
        case .bool: return .bool
        case .string: return .string
        case .bytes: return .bytes
        case .message, .group:
            guard case .message(let index) = try reference() else {
                throw DescriptorError("\(fullName) is said to be a message, and is none")
            }
            let isMap = messages[index].isMapEntry
            return field.type == .group || (features.isDelimited && !isMap) ? .group(index) : .message(index)
        case .enum:
            guard case .enumeration(let index) = try reference() else {
                throw DescriptorError("\(fullName) is said to be an enum, and is none")
            }
            return .enumeration(index)
        }
    }

    private func info(
        of field: Google_Protobuf_FieldDescriptorProto, in scope: String, _ outer: Features
    ) throws(DescriptorError) -> FieldInfo {
        let fullName = Self.joined(scope, field.name)
        guard Self.isIdentifier(field.name) else { throw DescriptorError("a field of \(scope) has no proper name") }
        guard field.number > 0, field.number <= 536_870_911 else {
            throw DescriptorError("\(fullName) has the number \(field.number), which no field can have")
        }
        let features = outer.with(field.options.features)
        let kind = try kind(of: field, fullName, scope, features)
        let isGroup = if case .group = kind { true } else { false }
        var textName = field.name
        if isGroup, let index = kind.messageIndex {
            textName = String(messages[index].fullName.split(separator: ".").last ?? "")
            // Edition fields in group form keep their own names.
            if textName.lowercased() != field.name { textName = field.name }
        }
        var info = FieldInfo(
            number: Int(field.number), name: field.name, fullName: fullName,
            jsonName: field.hasJsonName && !field.jsonName.isEmpty ? field.jsonName : Self.jsonName(field.name),
            kind: kind, textName: textName)
        info.isRepeated = field.label == .repeated
        info.isRequired = field.label == .required || field.options.features.fieldPresence == .legacyRequired
        info.isExtension = field.hasExtendee
        if info.isRepeated, kind.isPackable {
            info.isPacked = field.options.hasPacked ? field.options.packed : features.isPacked
        }
        if field.hasOneofIndex, !field.proto3Optional { info.oneof = Int(field.oneofIndex) }
        info.hasPresence =
            !info.isRepeated
            && (kind.messageIndex != nil || features.hasPresence || field.hasOneofIndex || info.isExtension)
        return info
    }

    static func jsonName(_ name: String) -> String {
        var text = ""
        var isUpper = false
        for character in name.unicodeScalars {
            if character == "_" {
                isUpper = true
            } else {
                text +=
                    isUpper && character.properties.isLowercase && character.isASCII
                    ? String(character).uppercased() : String(character)
                isUpper = false
            }
        }
        return text
    }

    private mutating func linkFields(of index: Int) throws(DescriptorError) {
        let (proto, features) = (pending[index].proto, pending[index].features)
        let name = messages[index].fullName
        var info = messages[index]
        for field in proto.field {
            if field.hasExtendee { throw DescriptorError("\(name).\(field.name) extends something") }
            if field.hasOneofIndex, !proto.oneofDecl.indices.contains(Int(field.oneofIndex)) {
                throw DescriptorError("\(name).\(field.name) is in a oneof that is not there")
            }
            let linked = try self.info(of: field, in: name, features)
            if linked.oneof != nil, linked.isRepeated {
                throw DescriptorError("\(linked.fullName) is repeated and in a oneof")
            }
            if info.fieldsByNumber.updateValue(linked, forKey: linked.number) != nil {
                throw DescriptorError("\(name) has two fields of number \(linked.number)")
            }
            if info.fields.contains(where: { $0.name == linked.name }) {
                throw DescriptorError("\(linked.fullName) is declared twice")
            }
            info.fields.append(linked)
        }
        info.fields.sort { $0.number < $1.number }
        for field in info.fields {
            info.fieldsByJSONName[field.name] = field
            info.fieldsByTextName[field.name] = field
        }
        for field in info.fields {
            info.fieldsByJSONName[field.jsonName] = field
            info.fieldsByTextName[field.textName] = field
            if case .group(let group) = field.kind {
                let type = String(messages[group].fullName.split(separator: ".").last ?? "")
                if info.fieldsByJSONName[type] == nil { info.fieldsByJSONName[type] = field }
            }
        }
        messages[index] = info
    }

    private func checkEntry(_ entry: MessageInfo) throws(DescriptorError) {
        guard entry.fields.count == 2, let key = entry.fieldsByNumber[1], let value = entry.fieldsByNumber[2],
            !key.isRepeated, !value.isRepeated
        else { throw DescriptorError("\(entry.fullName) is no entry of a map") }
        switch key.kind {
        case .double, .float, .bytes, .message, .group, .enumeration:
            throw DescriptorError("\(entry.fullName) has a key of a type that no map has")
        default: break
        }
        if case .group = value.kind { throw DescriptorError("\(entry.fullName) has a group for its value") }
    }

    private mutating func markMaps(of index: Int) throws(DescriptorError) {
        for (position, field) in messages[index].fields.enumerated() {
            guard let target = field.kind.messageIndex, messages[target].isMapEntry else { continue }
            guard field.isRepeated, case .message = field.kind else {
                throw DescriptorError("\(field.fullName) is a map and not repeated")
            }
            var field = field
            field.mapEntry = target
            messages[index].fields[position] = field
            messages[index].fieldsByNumber[field.number] = field
            for (name, known) in messages[index].fieldsByJSONName where known.number == field.number {
                messages[index].fieldsByJSONName[name] = field
            }
            for (name, known) in messages[index].fieldsByTextName where known.number == field.number {
                messages[index].fieldsByTextName[name] = field
            }
        }
    }

    private mutating func linkExtension(
        _ proto: Google_Protobuf_FieldDescriptorProto, in scope: String, _ features: Features
    ) throws(DescriptorError) {
        var field = try info(of: proto, in: scope, features)
        field.isExtension = true
        guard case .message(let index)? = resolve(proto.extendee, from: scope) else {
            throw DescriptorError("\(field.fullName) extends \(proto.extendee), which is no message of the set")
        }
        guard messages[index].extensionRanges.contains(where: { $0.contains(field.number) }) else {
            throw DescriptorError(
                "\(field.fullName): \(messages[index].fullName) has no room for extension \(field.number)")
        }
        if let target = field.kind.messageIndex, messages[target].isMapEntry {
            throw DescriptorError("\(field.fullName) is a map, which no extension can be")
        }
        if field.isRequired { throw DescriptorError("\(field.fullName) is a required extension") }
        field.oneof = nil
        if messages[index].fieldsByNumber[field.number] != nil
            || messages[index].extensions.updateValue(field, forKey: field.number) != nil
        {
            throw DescriptorError("\(messages[index].fullName) has two fields of number \(field.number)")
        }
        if extensionsByName.updateValue((index, field), forKey: field.fullName) != nil {
            throw DescriptorError("\(field.fullName) is declared twice")
        }
    }

    /// `Struct`, `Value` and `ListValue` are one another's parts; where one of them is not what it should be, none is.
    private mutating func checkWellKnown() throws(DescriptorError) {
        func type(_ index: Int?) -> WellKnownType? { index.flatMap { messages[$0].wellKnown } }
        func fits(_ message: MessageInfo) -> Bool {
            func target(_ number: Int) -> Int? { message.fieldsByNumber[number]?.kind.messageIndex }
            switch message.wellKnown {
            case .structure:
                guard let entry = target(1), messages[entry].fieldsByNumber[1]?.kind == .string else { return false }
                return type(messages[entry].fieldsByNumber[2]?.kind.messageIndex) == .value
            case .listValue: return type(target(1)) == .value
            case .value:
                guard case .enumeration? = message.fieldsByNumber[1]?.kind else { return false }
                return type(target(5)) == .structure && type(target(6)) == .listValue
                    && message.fields.allSatisfy { $0.oneof == 0 }
            default: return true
            }
        }
        let isWhole = messages.allSatisfy(fits)
        if isWhole { return }
        for index in messages.indices {
            switch messages[index].wellKnown {
            case .structure, .value, .listValue: messages[index].wellKnown = nil
            default: break
            }
        }
    }
}
