import BankDomain
import EgoCommands

await EgoCommandLine(domain: .bank, sample: BankSample()).run()
