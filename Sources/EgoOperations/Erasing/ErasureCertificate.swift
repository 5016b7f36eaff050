public import EgoCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What is attested of an erasure. It is the result of a record of the audit log, and has that record's hashes.
public struct ErasureCertificate: Sendable, Hashable, Codable {
    /// The entity.
    public var id: String
    /// When the erasure was verified, in nanoseconds since the Unix epoch, as text.
    public var at: String
    /// Why, in the operator's words.
    public var reason: String
    /// Who.
    public var `operator`: String
    /// The entity's last number; it is never given again.
    public var tombstoneSequenceNumber: String
    /// Whether its records were kept, and only its keys destroyed.
    public var keptEvents: Bool
    /// What was deleted.
    public var deleted: Deleted
    /// What was looked for afterwards.
    public var verified: Verified
    /// What was not reached, a sentence each.
    public var notCovered: [String]

    /// How much was deleted.
    public struct Deleted: Sendable, Hashable, Codable {
        public var events = 0
        public var snapshots = 0
        public var durableStates = 0
        public var deadLetters = 0
        public var keys = 0
        /// Rows of read models.
        public var rows = 0

        /// Nothing.
        public init() {}

        enum CodingKeys: String, CodingKey {
            case events, snapshots, keys, rows
            case durableStates = "durable_states"
            case deadLetters = "dead_letters"
        }
    }

    /// What a look at the store gave.
    public struct Verified: Sendable, Hashable, Codable {
        /// Whether anything of the entity still decrypts.
        public var decrypts = false
        /// How many records of the entity can be read.
        public var rows = 0
        /// How many bytes of files were scanned; 0 where the files cannot be read from here.
        public var scannedBytes = 0
        /// How many places in them hold something of it.
        public var residues = 0

        /// Nothing was found.
        public init() {}

        enum CodingKeys: String, CodingKey {
            case decrypts, rows, residues
            case scannedBytes = "scanned_bytes"
        }
    }

    enum CodingKeys: String, CodingKey {
        case id, at, reason, `operator`, deleted, verified
        case tombstoneSequenceNumber = "tombstone_sequence_number"
        case keptEvents = "kept_events"
        case notCovered = "not_covered"
    }

    /// The operation's name in the audit log.
    static let action = "erase"

    /// The moment as a value.
    public var moment: Timestamp { Timestamp(unixNanoseconds: Int64(at) ?? 0) }
}

/// A certificate in its place in the audit log.
public struct RecordedCertificate: Sendable, Hashable {
    /// The certificate.
    public var certificate: ErasureCertificate
    /// The record of the audit log.
    public var number: UInt64
    /// That record's hash.
    public var hash: String
    /// The hash of the record before.
    public var previousHash: String
    /// Whether the record is what it was when it was written.
    public var isIntact: Bool

    /// The certificate of an audit record; nil for a record of something else.
    init?(_ record: AuditRecord) {
        guard record.entry.action == ErasureCertificate.action,
            let certificate = try? JSONDecoder().decode(ErasureCertificate.self, from: Data(record.entry.result.utf8))
        else { return nil }
        self.certificate = certificate
        (number, hash, previousHash, isIntact) = (record.number, record.hash, record.previousHash, record.isIntact)
    }
}
