// wechat-enterprise-api, for WeCom.
const { promisify } = require('node:util');
const WechatEnterpriseAPI = require('wechat-enterprise-api');
const { serve, HUB, APPID: CORPID, KEY, AGENTID, PICTURE, TEXT } = require('./driver.cjs');

const api = new WechatEnterpriseAPI(CORPID, KEY, AGENTID);
api.prefix = `${HUB}/cgi-bin/`;
const ask = (method, ...args) => promisify(api[method]).call(api, ...args);

serve(
  {
    call: () => ask('send', { touser: 'witness' }, { msgtype: 'text', text: { content: TEXT } }),
    ticket: async () => (await ask('getTicket')).ticket,
    upload: () => ask('uploadMedia', PICTURE, 'image'),
  },
  async () => api.store?.accessToken,
);
