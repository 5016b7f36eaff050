import Crypto
import EgoCore

#if canImport(FoundationEssentials)
    public import FoundationEssentials
#else
    public import Foundation
#endif

/// What an operation would do, to look at, and to carry out later if nothing of it has changed until then.
public struct Plan: Codable, Sendable, Hashable {
    /// The form of this file.
    public var format = Self.currentFormat
    /// The operation, as `snapshot delete`.
    public var operation: String
    /// What it was told.
    public var arguments: [String: [String]]
    /// The store that it was made for.
    public var storeID: String
    /// The head of that store.
    public var head: String
    /// How much would be done, by what is counted.
    public var counts: [String: Int]
    /// Some of the entities that would be touched.
    public var samples: [String]
    /// What is held back, and why.
    public var guards: [Guard]
    /// SHA-256 over everything that would be touched, in hexadecimal.
    public var digest: String

    /// The form that this program writes and reads.
    public static let currentFormat = "ego.plan/1"
    /// How many entities are named in ``samples``.
    static let sampleCount = 10

    /// Something that is held back.
    public struct Guard: Codable, Sendable, Hashable {
        /// What holds it back, as `trimmed`.
        public var name: String
        /// The entity.
        public var id: String
        /// Why.
        public var detail: String

        /// A guard.
        public init(_ name: String, id: String, detail: String) {
            self.name = name
            self.id = id
            self.detail = detail
        }
    }

    /// Writes the plan as JSON with sorted keys.
    public func encoded() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self) + Data("\n".utf8)
    }

    /// Reads a plan.
    ///
    /// - Throws: ``OperationError/Code/data``.
    public static func decoded(_ data: Data) throws(OperationError) -> Plan {
        guard let plan = try? JSONDecoder().decode(Plan.self, from: data), plan.format == currentFormat else {
            throw OperationError(.data, "it is no plan of this version", hint: "write one with --plan FILE")
        }
        return plan
    }

    /// Refuses a plan that is not for this work on this store as it is now.
    ///
    /// - Parameter now: what would be planned at this moment.
    /// - Throws: ``OperationError/Code/refused``.
    public func check(against now: Plan) throws(OperationError) {
        let why: String? =
            if operation != now.operation {
                "the plan is for \(operation)"
            } else if storeID != now.storeID {
                "the plan was made for another store"
            } else if digest != now.digest {
                "the store has changed since the plan was made"
            } else {
                nil
            }
        if let why {
            throw OperationError(.refused, why, hint: "nothing was changed; make a new plan with --plan FILE")
        }
    }
}

/// Gathers what a plan's digest is made of, entity by entity.
struct PlanDigest {
    private var hash = SHA256()

    mutating func add(_ parts: String...) {
        // Each part with its length: no two lists of parts give the same bytes.
        for part in parts { hash.update(data: Data("\(part.utf8.count):\(part),".utf8)) }
        hash.update(data: Data(";".utf8))
    }

    func finalized() -> String { Hexadecimal.text(hash.finalize()) }
}
