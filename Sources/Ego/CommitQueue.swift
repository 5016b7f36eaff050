import Synchronization

/// Writes that wait for a commit, and how many groups of them are being committed.
///
/// Where a store commits groups beside each other, an entity is in one of them at most, since its writes build on each
/// other; one more is begun only for ``enough`` writes, since small ones cost the store more than it gains; and none takes
/// more than its share, so that one does not wait for a larger one each time.
struct CommitQueue<Request: Sendable>: Sendable {
    /// Who waits for a write.
    struct Waiter: Sendable {
        let lineage: Lineage
        let owner: EntityCell
        let ticket: Ticket
    }

    /// Writes, and who waits for each of them: apart, so that the store is handed the writes as they are.
    struct Group: Sendable {
        var requests: [Request] = []
        var waiters: [Waiter] = []

        var count: Int { requests.count }
        var isEmpty: Bool { requests.isEmpty }

        mutating func append(_ request: Request, _ waiter: Waiter) {
            requests.append(request)
            waiters.append(waiter)
        }

        mutating func append(_ other: Group) {
            requests += other.requests
            waiters += other.waiters
        }

        /// Takes out the first `most`, or all when there are no more.
        mutating func take(atMost most: Int) -> Group {
            var taken = Group()
            if count <= most {
                swap(&self, &taken)
            } else {
                taken = Group(requests: Array(requests.prefix(most)), waiters: Array(waiters.prefix(most)))
                requests.removeFirst(most)
                waiters.removeFirst(most)
            }
            return taken
        }

        /// Takes out those that `isIncluded` is true for.
        mutating func take(where isIncluded: (Waiter) -> Bool) -> Group {
            guard waiters.contains(where: isIncluded) else { return Group() }
            var (rest, taken) = (Group(), Group())
            for (request, waiter) in zip(requests, waiters) {
                if isIncluded(waiter) { taken.append(request, waiter) } else { rest.append(request, waiter) }
            }
            self = rest
            return taken
        }
    }

    /// How many writes are worth a group beside another one.
    private static var enough: Int { 24 }

    /// The most groups at the same time; at least 1.
    private let most: Int
    private var underWay = 0
    private var writesUnderWay = 0
    private var ready = Group()
    /// Writes of entities that a group under way has writes of.
    private var held = Group()

    init(concurrentGroups most: Int) { self.most = most }

    /// How many writes may be committed now.
    var count: Int { ready.count }
    /// Whether nothing waits and nothing is being committed.
    var isIdle: Bool { underWay == 0 }

    /// - Returns: whether a group has begun, which the caller then has to ``take(atMost:)``.
    mutating func add(_ request: Request, _ waiter: Waiter) -> Bool {
        if most > 1, waiter.owner.isCommitting {
            held.append(request, waiter)
            return false
        }
        ready.append(request, waiter)
        return begin()
    }

    /// The writes of a group that has begun.
    mutating func take(atMost limit: Int) -> Group {
        let share = (ready.count + writesUnderWay + most - 1) / most
        let taken = ready.take(atMost: min(limit, max(share, Self.enough)))
        writesUnderWay += taken.count
        if most > 1 {
            for waiter in taken.waiters { waiter.owner.isCommitting = true }
            held.append(ready.take { $0.owner.isCommitting })
        }
        return taken
    }

    /// A group is committed, or is not; what became of it is known to its entities.
    mutating func release(_ group: Group) {
        writesUnderWay -= group.count
        guard most > 1 else { return }
        for waiter in group.waiters { waiter.owner.isCommitting = false }
        ready.append(held.take { !$0.owner.isCommitting })
    }

    /// A group is over, and its writes are answered.
    ///
    /// - Returns: whether another one has begun in its place.
    mutating func goOn() -> Bool {
        underWay -= 1
        return begin()
    }

    private mutating func begin() -> Bool {
        guard underWay == 0 ? !ready.isEmpty : underWay < most && ready.count >= Self.enough else { return false }
        underWay += 1
        return true
    }
}
