import Synchronization

/// A run of commits that build on each other: from one load of an entity to the first commit that fails.
///
/// When one fails, those that are still waiting were decided on a state that never came to be; they are withdrawn.
final class Lineage: Sendable {
    private let broken = Atomic<Bool>(false)

    var isBroken: Bool { broken.load(ordering: .acquiring) }

    func breakOff() { broken.store(true, ordering: .releasing) }
}
