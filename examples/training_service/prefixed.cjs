// Starts NNI's runner of trials as its local service does, through the command that the config's `prefix` is.
const { spawn } = require("child_process");
const { cp, mkdir, writeFile } = require("fs").promises;
const { join } = require("path");
const { LocalEnvironmentService } = require("training_service/reusable/environments/localEnvironmentService");

const RUNNER = "python3 -m nni.tools.trial_tool.trial_runner";

class PrefixedEnvironmentService extends LocalEnvironmentService {
  constructor(config, info) {
    super(config, info);
    this.prefix = config.prefix;
  }

  get getName() {
    return "prefixed";
  }

  // NNI's own way asks for a shared storage, which an experiment without one has not.
  async startEnvironment(environment) {
    const environments = join(this.experimentRootDir, "envs");
    const script = join(environments, `${environment.id}.sh`);
    environment.runnerWorkingFolder = join(environments, environment.id);
    await cp(join(this.experimentRootDir, "environment-temp", "envs"), environments, { recursive: true });
    await mkdir(environment.runnerWorkingFolder, { recursive: true });
    environment.command = environment.command.replace(RUNNER, `${this.prefix} ${RUNNER}`);
    await writeFile(script, this.getScript(environment).join("\n"));
    spawn("bash", [script], { detached: true, stdio: "ignore" }).unref();
  }
}

module.exports = { PrefixedEnvironmentService };
