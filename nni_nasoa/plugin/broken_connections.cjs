// Loaded into NNI's manager by NODE_OPTIONS (see node_options.py): it goes on where the ssh connection to a machine
// breaks. NNI notices itself that the machine is gone, but listens to no error of a connection once it stands, so that
// node ends the manager, and with it the experiment. All other errors end it as before.
'use strict';

const path = require('path');

const [, script = ''] = process.argv;

if (path.basename(script) === 'main.js' && path.basename(path.dirname(script)) === 'nni_node') {
    process.on('uncaughtException', error => {
        if (!error || !['client-socket', 'client-timeout'].includes(error.level)) { // as ssh2 marks its own
            throw error;
        }
        console.error(`The connection to a machine broke: ${error.message}`);
    });
}
