// What the Node programs here share: as driver.py for those in Python. They find their SDK by NODE_PATH.
const readline = require('node:readline');

exports.TEXT = '你好';
exports.HUB = process.env.WECHAT_BASE_URL;
exports.APPID = process.env.WECHAT_APPID;
exports.KEY = process.env.WECHAT_SECRET;
exports.AGENTID = Number(process.env.WECHAT_AGENTID);
exports.PICTURE = process.env.WX_TEST_PICTURE;
exports.serve = async (actions, heldNow) => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const said = {};
    try {
      said.answer = await actions[line]();
    } catch (error) {
      said.error = `${error.name} ${error.code ?? ''}: ${error.message}`;
    }
    said.token = (await heldNow()) ?? null;
    console.log(JSON.stringify(said));
  }
};
