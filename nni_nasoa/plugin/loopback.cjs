// Loaded into NNI's manager by NODE_OPTIONS (see listening.py): its web server, which has no password, listens on
// the loopback address alone. Other programs of node, and experiments whose trials run elsewhere, are left alone.
'use strict';

const net = require('net');
const path = require('path');

const [, script = '', ...args] = process.argv;
const isManager = path.basename(script) === 'main.js' && path.basename(path.dirname(script)) === 'nni_node';

if (isManager && args[args.indexOf('--mode') + 1] === 'local') {
    const listen = net.Server.prototype.listen;
    net.Server.prototype.listen = function (port, ...rest) {
        const hasHost = typeof port !== 'number' || typeof rest[0] === 'string';
        return listen.call(this, port, ...(hasHost ? [] : ['127.0.0.1']), ...rest);
    };
}
