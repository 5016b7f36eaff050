/// What is looked for in the space of a database's files that no record uses any more.
public struct ResidueSearch: Sendable, Hashable {
    /// Entities whose ID must not be there as a protobuf string, as payloads hold it.
    public var ids: [PersistenceID]
    /// What is left of payloads that were deleted.
    public var sample: PayloadSample
    /// Tables of read models that rows were deleted from.
    public var tables: [String]
    /// Whether files may be written anew.
    public var rewrite: Rewrite
    /// Whether a log that the database keeps beside its files is looked through too. What is in a log that was emptied
    /// since the deletion was written after it.
    public var includesLog: Bool

    /// Whether files may be written anew, which keeps all others from writing for as long as that takes.
    public enum Rewrite: String, Sendable, CaseIterable {
        case never
        /// Where it takes seconds. A database in one file, which is written anew only where something was found in it,
        /// counts as such.
        case whereQuick = "quick"
        case always
    }

    /// A search with the given parts.
    public init(
        ids: [PersistenceID], sample: PayloadSample = PayloadSample(), tables: [String] = [],
        rewrite: Rewrite = .whereQuick, includesLog: Bool = true
    ) {
        self.ids = ids
        self.sample = sample
        self.tables = tables
        self.rewrite = rewrite
        self.includesLog = includesLog
    }
}

/// What a search in a database's files gave.
public struct PurgeReport: Sendable, Hashable {
    /// How many bytes were looked at; 0 where the store's files cannot be read from here.
    public var scannedBytes: Int
    /// How many places hold something that must not be there.
    public var residues: Int
    /// What was written anew, as names of tables or files.
    public var rewritten: [String]
    /// What this store cannot reach, a sentence each.
    public var notCovered: [String]

    /// A report with the given parts.
    public init(scannedBytes: Int = 0, residues: Int = 0, rewritten: [String] = [], notCovered: [String] = []) {
        self.scannedBytes = scannedBytes
        self.residues = residues
        self.rewritten = rewritten
        self.notCovered = notCovered
    }
}

/// Recognises what is left of payloads without keeping them: hashes of short pieces of their bytes, of which a bounded
/// number is kept.
///
/// The hash is salted. It is kept only while the erasure is under way: who has it can confirm a guess.
public struct PayloadSample: Sendable, Hashable, Codable {
    /// How many bytes a piece has.
    public static let pieceLength = 24
    /// How many pieces are kept at most.
    public static let capacity = 4_096

    /// What the hash starts from; odd.
    public private(set) var salt: UInt64
    /// The hashes that are kept.
    public private(set) var hashes: Set<UInt64>
    /// Whether every payload that was given can be recognised.
    public private(set) var isComplete = true

    /// An empty sample.
    public init(salt: UInt64 = .random(in: 0 ... .max)) {
        self.salt = salt | 1
        self.hashes = []
    }

    /// A sample of which nothing is known any more.
    public static var lost: PayloadSample {
        var sample = PayloadSample()
        sample.isComplete = false
        return sample
    }

    /// Takes pieces of a payload: one after the other from where its message begins, and the one at its end. What comes
    /// before the message is the same in every payload of its type.
    public mutating func add(_ payload: [UInt8]) {
        let length = Self.pieceLength
        if payload.isEmpty { return }
        if payload.count < length {
            isComplete = false
            return
        }
        payload.withRawBytes { bytes in
            // What is no google.protobuf.Any is all message.
            var start = (try? AnyScan(bytes))?.value.lowerBound ?? 0
            while start + length <= bytes.count {
                keep(hash(bytes, at: start))
                start += length
            }
            keep(hash(bytes, at: bytes.count - length))
        }
    }

    private mutating func keep(_ hash: UInt64) {
        if hashes.count < Self.capacity {
            hashes.insert(hash)
        } else if !hashes.contains(hash) {
            isComplete = false
        }
    }

    private func hash(_ bytes: UnsafeRawBufferPointer, at start: Int) -> UInt64 {
        var hash: UInt64 = 0
        for index in start..<(start + Self.pieceLength) { hash = hash &* salt &+ UInt64(bytes[index]) &+ 1 }
        return Self.mixed(hash)
    }

    /// Spreads a rolling hash over all its bits.
    private static func mixed(_ hash: UInt64) -> UInt64 {
        var value = (hash ^ (hash >> 33)) &* 0xff51_afd7_ed55_8ccd
        value = (value ^ (value >> 33)) &* 0xc4ce_b9fe_1a85_ec53
        return value ^ (value >> 33)
    }

    /// How often a piece occurs in `bytes`, which are a part of a file that no record uses.
    package func occurrences(in bytes: UnsafeRawBufferPointer) -> Int {
        let length = Self.pieceLength
        if hashes.isEmpty || bytes.count < length { return 0 }
        var leading: UInt64 = 1
        for _ in 1..<length { leading = leading &* salt }
        var (rolling, found, zeros) = (UInt64(0), 0, 0)
        for (index, byte) in bytes.enumerated() {
            zeros = byte == 0 ? zeros + 1 : 0
            if index >= length { rolling = rolling &- leading &* (UInt64(bytes[index - length]) &+ 1) }
            rolling = rolling &* salt &+ UInt64(byte) &+ 1
            // Most of such space is zeros.
            if index >= length - 1, zeros < length, hashes.contains(Self.mixed(rolling)) { found += 1 }
        }
        return found
    }
}

/// An erased entity in the order of erasure.
public struct Erasure: Sendable, Hashable {
    /// Grows with each erasure.
    public var number: UInt64
    /// The entity.
    public var persistenceID: PersistenceID

    /// For how long a process may answer from memory without asking again what was erased. Whoever erases waits for at
    /// least as long before it calls the erasure done.
    public static let staleness = Duration.seconds(1)

    /// An erasure with the given parts.
    public init(number: UInt64, persistenceID: PersistenceID) {
        self.number = number
        self.persistenceID = persistenceID
    }
}
