import Crypto

/// What an operator did.
public struct AuditEntry: Sendable, Hashable {
    /// When.
    public var timestamp: Timestamp
    /// Who.
    public var actor: String
    /// The operation.
    public var action: String
    /// The operation's arguments, as JSON, without payloads or secrets.
    public var arguments: String
    /// Why, in the operator's words.
    public var reason: String
    /// What came of it, as JSON.
    public var result: String

    /// An entry with the given parts.
    public init(
        timestamp: Timestamp, actor: String, action: String, arguments: String, reason: String, result: String
    ) {
        self.timestamp = timestamp
        self.actor = actor
        self.action = action
        self.arguments = arguments
        self.reason = reason
        self.result = result
    }
}

/// An entry in its place in the log.
public struct AuditRecord: Sendable, Hashable {
    /// The record's place: 1, 2, 3 and so on without gaps.
    public var number: UInt64
    /// What was done.
    public var entry: AuditEntry
    /// The hash of the record before; 64 zeros for the first.
    public var previousHash: String
    /// SHA-256 over this record and the hash before it, in hexadecimal.
    public var hash: String

    /// What the first record has for its predecessor's hash.
    public static let firstPreviousHash = String(repeating: "0", count: 64)

    /// A record read from a log, whose hash is as it was stored.
    public init(number: UInt64, entry: AuditEntry, previousHash: String, hash: String) {
        self.number = number
        self.entry = entry
        self.previousHash = previousHash
        self.hash = hash
    }

    /// The record that follows a record of hash `previousHash`.
    public init(number: UInt64, entry: AuditEntry, previousHash: String) {
        self.number = number
        self.entry = entry
        self.previousHash = previousHash
        self.hash = Self.hash(number: number, entry: entry, previousHash: previousHash)
    }

    /// Whether the stored hash is the one that the record's content gives.
    public var isIntact: Bool {
        hash == Self.hash(number: number, entry: entry, previousHash: previousHash)
    }

    private static func hash(number: UInt64, entry: AuditEntry, previousHash: String) -> String {
        var writer = WireWriter()
        writer.varint(number, field: 1)
        writer.string(previousHash, field: 2)
        writer.varint(UInt64(bitPattern: entry.timestamp.unixNanoseconds), field: 3)
        writer.string(entry.actor, field: 4)
        writer.string(entry.action, field: 5)
        writer.string(entry.arguments, field: 6)
        writer.string(entry.reason, field: 7)
        writer.string(entry.result, field: 8)
        return Hexadecimal.text(SHA256.hash(data: writer.bytes))
    }
}
