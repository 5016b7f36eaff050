package import EgoCore
import EgoOperations

/// What has to be the same after an operation, whether it was killed or not: records, keys, erasures, and jobs that are
/// left.
package struct OperationOutcome: Equatable {
    private var content: StoreContent
    private var erasures: [PersistenceID]
    private var keys: [String?]
    private var certificates: [ErasureCertificate.Deleted]
    /// Jobs that are not at their end.
    package var unfinished: Int
    /// What is wrong with the store and its audit log.
    package var problems: [String]

    /// Looks at a store.
    package init(of store: any Store, domain: Domain) async throws {
        content = try await StoreContent(of: store)
        erasures = try await store.erasures(after: 0, limit: 100).map(\.persistenceID)
        keys = try await store.keys(after: nil, limit: 100).map {
            $0.isDestroyed ? nil : MasterKey.fingerprint(of: $0.key)
        }
        unfinished = try await store.jobs().count { $0.state.isUnfinished }
        let erasure = EntityErasure(store: store, domain: domain, by: .forExercise, time: SystemTime())
        certificates = try await erasure.certificates().map(\.certificate.deleted)
        problems = try await AuditLog(store: store).verify().problems.map { "\($0)" }
        let verification = Verification(store: store, domain: domain)
        while let page = try await verification.nextPage() { problems += page.map { "\($0)" } }
    }

    /// The names of the parts that are not as in `other`.
    package func differences(from other: OperationOutcome) -> [String] {
        [
            content == other.content ? nil : "content", erasures == other.erasures ? nil : "erasures",
            keys == other.keys ? nil : "keys", certificates == other.certificates ? nil : "certificates",
            unfinished == other.unfinished ? nil : "jobs", problems == other.problems ? nil : "problems: \(problems)",
        ].compactMap(\.self)
    }
}
